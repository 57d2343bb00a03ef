"""``glamor ablate``: the paper's ablations on a pair store, as one resumable command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from glamor_cli.ablation.options import SEEDS, TEST_SPLIT
from glamor_cli.cli.input_files import run_files, store_files
from glamor_cli.cli.json_output import json_option, write_json
from glamor_cli.cli.long_progress import long_progress
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, exit_stopped, say, say_notes
from glamor_cli.cli.runtime_options import (
    DeviceOption,
    EncoderOption,
    EpochsOption,
    RecipeOption,
    ThreadsOption,
    TrainPrecisionOption,
    TrainStoreArgument,
)
from glamor_cli.cli.tables import print_table
from glamor_cli.errors import ConfigError
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.runtimes.options import Device
from glamor_cli.training.options import RecipeName, TrainPrecision

if TYPE_CHECKING:
    from glamor_cli.ablation.table import VariantResult
    from glamor_cli.training.progress import Progress


def ablate(
    store: TrainStoreArgument,
    run: Annotated[Path, typer.Option(help="Folder for all runs.")] = Path("runs/ablation"),
    recipe: RecipeOption = RecipeName.MODERN,
    network: EncoderOption = NetworkConfig.encoder,
    variant: Annotated[
        list[Variant] | None,
        typer.Option(help="Train only this variant; may be given several times."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help=f"Trainings of each variant; default: {SEEDS}.")
    ] = None,
    epochs: EpochsOption = None,
    test_split: Annotated[str, typer.Option(help="Split to judge by.")] = TEST_SPLIT,
    scenes: Annotated[
        Path | None,
        typer.Option(help="Folder of the generated scenes; the attention is measured too."),
    ] = None,
    table_only: Annotated[
        bool, typer.Option("--table-only", help="Train nothing; show the finished runs in --run.")
    ] = False,
    json_file: Annotated[Path | None, json_option("the table")] = None,
    precision: TrainPrecisionOption = TrainPrecision.AUTO,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
) -> None:
    """Train the whole network and its ablations in the same way, and compare them."""
    from glamor_cli.ablation.run import (
        PICTURE,
        AblationConfig,
        ablation_notes,
        to_dict,
        write_table,
    )
    from glamor_cli.ablation.run import ablate as run_ablation
    from glamor_cli.training.config import TrainConfig
    from glamor_cli.training.recipes import find_recipe

    if table_only and (variant or seeds):
        raise ConfigError(
            "--variant and --seeds choose what to train, but --table-only trains nothing",
            "Leave --table-only out, or leave --variant and --seeds out.",
        )
    sources = [run, *store_files(store), *run_files(run)]
    require_writable(json_file, sources=sources, data_sets=[scenes])
    config = AblationConfig(
        training=TrainConfig(
            store=store,
            run=run,
            recipe=find_recipe(recipe, epochs=epochs),
            network=NetworkConfig(encoder=network),
            precision=precision,
            device=device,
            threads=threads,
        ),
        variants=tuple(variant or Variant),
        seeds=tuple(range(seeds or SEEDS)),
        test_split=test_split,
        scenes=scenes,
    )
    say_notes(ablation_notes(config))
    if table_only:
        with console.status("reading the finished runs"):
            table = write_table(config)
    else:
        with long_progress("starting", "images", counted="steps") as show:

            def show_step(trained: Variant, seed: int, progress: "Progress") -> None:
                show(
                    progress.done,
                    progress.total,
                    doing=f"{trained}, seed {seed}: loss {progress.loss:.3f}",
                    rate=progress.images_per_second,
                )

            finished = run_ablation(config, on_progress=show_step)
        if finished is None:
            exit_stopped("what has been trained is kept")
        table = finished
    if not table:
        raise ConfigError(
            f"{run} holds no finished run", "Leave --table-only out to train, or check --run."
        )
    print_table(_render(table))
    say(f"table and picture in {run / PICTURE}")
    if json_file is not None:
        write_json(json_file, to_dict(config, table), "table")


def _render(lines: "list[VariantResult]") -> Table:
    from glamor_cli.ablation.table import MEANINGS, with_deviation

    peaks = any(line.peaks for line in lines)
    table = Table("network", "variant")
    for heading in (
        "accuracy, %",
        *(["attention within a\ncell of the cue, %"] if peaks else []),
        "seeds",
    ):
        table.add_column(heading, justify="right")
    for line in lines:
        cells = [with_deviation(line.mean, line.deviation)]
        if peaks:
            cells.append(with_deviation(line.near_cue, line.near_cue_deviation))
        cells.append(str(len(line.runs)))
        table.add_row(MEANINGS[line.variant], line.variant, *cells)
    return table
