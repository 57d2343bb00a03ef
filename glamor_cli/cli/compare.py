"""``glamor compare``: several networks on one pair store, and whether they truly differ."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.input_files import store_files, weights_files
from glamor_cli.cli.json_output import json_first, json_option
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import printable, progress_bar, say, say_notes
from glamor_cli.cli.runtime_options import (
    BatchOption,
    DeviceOption,
    ProviderOption,
    SplitOption,
    StoreArgument,
    ThreadsOption,
)
from glamor_cli.cli.tables import print_table
from glamor_cli.counts import count
from glamor_cli.runtimes.options import PAIRS_AT_ONCE, Device

if TYPE_CHECKING:
    from glamor_cli.evaluation.bootstrap import Interval
    from glamor_cli.evaluation.compare import Comparison


def compare(
    store: StoreArgument,
    weights: Annotated[
        list[str],
        typer.Argument(
            metavar="WEIGHTS", help="Names from weights/, .safetensors, .onnx or .engine files."
        ),
    ],
    split: SplitOption = None,
    device: DeviceOption = Device.AUTO,
    batch: BatchOption = PAIRS_AT_ONCE,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    latency: Annotated[bool, typer.Option(help="Measure how long each takes.")] = True,
    json_file: Annotated[Path | None, json_option("the figures")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write comparison.html, a chart and all disagreements into this folder."),
    ] = None,
) -> None:
    """Compare networks on the same pairs: accuracy and significance, disagreements, latency."""
    from glamor_cli.evaluation.compare import CompareConfig, compare_store
    from glamor_cli.evaluation.comparison_report import REPORT, comparison_files, write_comparison

    require_writable(
        json_file,
        *([] if report is None else comparison_files(report)),
        folder=report,
        sources=[*store_files(store), *weights_files(*weights)],
    )
    config = CompareConfig(
        store=store,
        weights=tuple(weights),
        split=split,
        device=device,
        batch=batch,
        threads=threads,
        latency=latency,
        provider=provider,
    )
    with progress_bar("opening", "pairs") as show:
        result = compare_store(config, lambda name, done, total: show(done, total, doing=name))
    _print(result)
    with json_first(json_file, result.to_dict, "figures"):
        if report is not None:
            write_comparison(report, result)
            say(f"report in {report / REPORT}")


def _print(result: "Comparison") -> None:
    pairs = count(len(result.labels), "pair")
    say(f"{pairs} of {result.config.store} ({result.split})")
    say_notes(result.notes)
    print_table(_network_table(result))
    print_table(_pairing_table(result))
    shares = []
    by_class = result.disagreements_by_class.tolist()
    for index, (name, parted) in enumerate(zip(result.classes, by_class, strict=True)):
        support = int((result.labels == index).sum())
        if parted:
            shares.append((parted / support, f"{name} {parted} of {support}"))
    # Among equals the classes' order stays.
    shares.sort(key=lambda share: share[0], reverse=True)
    most = ", ".join(text for _, text in shares[:3])
    differing = f"answered differently: {count(len(result.disagreements), 'pair')}"
    say(differing + (f"; most often: {most}" if most else ""))


def _network_table(result: "Comparison") -> Table:
    table = Table("")
    table.add_column("network", overflow="fold")
    for column in ("accuracy", "macro-F1"):
        table.add_column(column, justify="right")
    timed = result.config.latency
    if timed:
        table.add_column("ms per pair", justify="right")
        table.add_column("pairs/s", justify="right")
    for one in result.contenders:
        table.add_row(
            Text(one.letter, "bold"),
            Text(printable(one.name)),
            f"{one.metrics.accuracy:.1%} {_ends(one.intervals['accuracy'], '.1f')}",
            f"{one.metrics.macro_f1:.3f}",
            *(
                (f"{one.latency.p50_ms:.2f}", f"{one.latency.pairs_per_second:.0f}")
                if one.latency
                else ()
            ),
        )
    return table


def _pairing_table(result: "Comparison") -> Table:
    table = Table("")
    for column in ("accuracy,\npoints", "macro-F1,\npoints", "only one\nright", "p, Holm"):
        table.add_column(column, justify="right")
    table.add_column("better")
    for one in result.pairings:
        table.add_row(
            Text(f"{one.second} - {one.first}", "bold"),
            f"{100 * one.accuracy.value:+.1f} {_ends(one.accuracy.interval, '+.1f')}",
            f"{100 * one.macro_f1.value:+.1f}",
            f"{one.second} {one.second_only}, {one.first} {one.first_only}",
            "<0.0001" if one.adjusted_p < 0.0001 else f"{one.adjusted_p:.4f}",
            one.better or "none",
        )
    return table


def _ends(interval: "Interval | None", form: str) -> str:
    if interval is None:
        return ""
    return f"({100 * interval.low:{form}} to {100 * interval.high:{form}})"
