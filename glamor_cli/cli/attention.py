"""``glamor attention``: whether the network looks where the answer is, in figures and pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.input_files import store_files, weights_files
from glamor_cli.cli.json_output import json_first, json_option
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import progress_bar, say, say_notes
from glamor_cli.cli.runtime_options import (
    BatchOption,
    DeviceOption,
    ProviderOption,
    SplitOption,
    StoreArgument,
    ThreadsOption,
    WeightsOption,
)
from glamor_cli.cli.tables import print_table
from glamor_cli.evaluation.attention.options import MOST_HIDINGS, PAIRS, REGIONS, STEPS, Fill
from glamor_cli.runtimes.options import PAIRS_AT_ONCE, Device
from glamor_cli.settings import MAX_SEED
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from glamor_cli.evaluation.attention.run import AttentionReport, MapMeasures


def attention(
    store: StoreArgument,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    split: SplitOption = None,
    scenes: Annotated[
        Path | None,
        typer.Option(help="Folder of the generated scenes; measures against the disc that counts."),
    ] = None,
    gradcam: Annotated[
        bool, typer.Option("--gradcam", help="Measure Grad-CAM beside the attention.")
    ] = False,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs drawn from the split.")] = PAIRS,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed for drawing the pairs.")] = 0,
    fill: Annotated[Fill, typer.Option(help="What hidden parts are filled with.")] = Fill.BLACK,
    regions: Annotated[
        int, typer.Option(min=1, max=MOST_HIDINGS, help="Random squares hidden for each pair.")
    ] = REGIONS,
    steps: Annotated[
        int, typer.Option(min=1, max=MOST_HIDINGS, help="Steps of the curves.")
    ] = STEPS,
    device: DeviceOption = Device.AUTO,
    batch: BatchOption = PAIRS_AT_ONCE,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    json_file: Annotated[Path | None, json_option("the figures")] = None,
    save: Annotated[Path | None, typer.Option(help="Draw pictures into this folder.")] = None,
) -> None:
    """Measure the attention: what it points at, and what hiding that place costs."""
    from glamor_cli.evaluation.attention.hiding import HidingConfig
    from glamor_cli.evaluation.attention.run import AttentionConfig, measure_store
    from glamor_cli.evaluation.attention.summary import to_dict

    pictures: list[Path] = []
    if save is not None:
        from glamor_cli.evaluation.attention.figures import GALLERY, HIDING, STREAMS

        pictures = [save / name for name in (GALLERY, HIDING, STREAMS)]
    sources = [*store_files(store), *weights_files(weights)]
    require_writable(json_file, *pictures, folder=save, sources=sources)
    # Those of an earlier run may lie among the scenes, of which only the cues are read.
    require_writable(json_file, data_sets=[scenes])
    config = AttentionConfig(
        store=store,
        weights=weights,
        split=split,
        scenes=scenes,
        grad_cam=gradcam,
        pairs=pairs,
        seed=seed,
        hiding=HidingConfig(fill=fill, regions=regions, steps=steps),
        device=device,
        batch=batch,
        threads=threads,
        provider=provider,
    )
    with progress_bar("measuring", "pairs") as show:
        report = measure_store(config, show)
    _print(report)
    with json_first(json_file, lambda: to_dict(report), "figures"):
        if save is not None:
            from glamor_cli.evaluation.attention.figures import save_figures

            save_figures(save, report)
            say(f"pictures in {save}")


def _print(report: "AttentionReport") -> None:
    say(
        f"{report.weights.name} on {len(report.labels)} of {report.available} pairs "
        f"of {report.config.store} ({report.split}), {report.right.mean():.1%} right",
        style="bold",
    )
    say_notes(report.notes)
    print_table(_method_table(report))
    print_table(_stream_table(report))


def _method_table(report: "AttentionReport") -> Table:
    """Lay out a column for each kind of map, and one for chance."""
    from glamor_cli.evaluation.attention.summary import summarise_hiding

    methods = list(report.methods.values())
    table = Table("measure", *(kind.heading for kind in report.methods), "by chance")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cells, by_chance in _place_rows(methods):
        table.add_row(name, *cells, by_chance)
    if methods[0].place is not None:
        table.add_section()
    table.add_row(
        "entropy (0: one cell, 1: even)", *(f"{one.entropy.mean():.3f}" for one in methods), "1.000"
    )
    table.add_row(
        "deletion, area (low is good)",
        *(f"{one.curves.deletion_area:.3f}" for one in methods),
        f"{report.random_curves.deletion_area:.3f}",
    )
    table.add_row(
        "insertion, area (high is good)",
        *(f"{one.curves.insertion_area:.3f}" for one in methods),
        f"{report.random_curves.insertion_area:.3f}",
    )
    table.add_section()
    hidden = [summarise_hiding(report, one) for one in methods]
    first = hidden[0]
    table.add_row(
        "fall if the highest square is hidden",
        *(f"{one.attended:z.3f}" for one in hidden),
        f"{first.random:z.3f}",
    )
    table.add_row(
        "  times a random square",
        *("-" if one.shown_ratio is None else f"{one.shown_ratio:.1f}" for one in hidden),
        "1",
    )
    table.add_row(
        "  answers that change",
        *(f"{one.changed_attended:.1%}" for one in hidden),
        f"{first.changed_random:.1%}",
    )
    table.add_row(
        f"  accuracy then (before: {first.accuracy:.1%})",
        *(f"{one.accuracy_attended:.1%}" for one in hidden),
        f"{first.accuracy_random:.1%}",
    )
    return table


def _place_rows(methods: "list[MapMeasures]") -> list[tuple[str, list[str], str]]:
    """Say how the maps agree with the discs that decide, where these are known."""
    places = [one.place for one in methods if one.place is not None]
    if not places:
        return []
    return [
        ("peak at the cue, within a cell", [f"{one.near_cue:.1%}" for one in places], "-"),
        ("peak's cell on the cue", [f"{one.pointing_game:.1%}" for one in places], "-"),
        ("peak's cell on another disc", [f"{one.on_decoy:.1%}" for one in places], "-"),
        (
            "attention in the cue's cells",
            [f"{one.mass:.1%}" for one in places],
            f"{places[0].mass_by_chance:.1%}",
        ),
    ]


def _stream_table(report: "AttentionReport") -> Table:
    from glamor_cli.evaluation.attention.summary import summarise_streams

    table = Table("class")
    for heading in ("context's share", "deviation", "entropy", "pairs"):
        table.add_column(heading, justify="right")
    for name, one in summarise_streams(report).items():
        table.add_row(
            Text(name),
            f"{one.mean:.1%}",
            "-" if one.deviation is None else f"{one.deviation:.1%}",
            f"{one.entropy:.3f}",
            str(one.count),
        )
    return table
