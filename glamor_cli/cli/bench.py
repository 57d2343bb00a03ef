"""``glamor bench``: how fast everything is on this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from glamor_cli.bench.options import (
    DEFAULT_TARGETS,
    Backend,
    BenchConfig,
    BenchResult,
    Precision,
    Row,
    Target,
)
from glamor_cli.cli.input_files import weights_files
from glamor_cli.cli.json_output import json_first, json_option, result_first, write_result
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, exit_stopped, printable, say
from glamor_cli.cli.runtime_options import DeviceOption, ThreadsOption
from glamor_cli.cli.tables import print_table
from glamor_cli.errors import BackendUnavailable
from glamor_cli.rendering.figure_files import check_picture
from glamor_cli.runtimes.options import Device
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.undisturbed import undisturbed
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

_DEFAULT = BenchConfig()
Choice = TypeVar("Choice", Target, Backend, Precision)


def bench(
    what: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(Target)}.")] = ",".join(
        DEFAULT_TARGETS
    ),
    batch: Annotated[str, typer.Option(help="Comma-separated batch sizes.")] = ",".join(
        map(str, _DEFAULT.batches)
    ),
    backends: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated: {', '.join(Backend)}; default: those that suit the device "
            "and are always installed."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated: {', '.join(Precision)}; default: what suits the device."
        ),
    ] = None,
    compile_mode: Annotated[
        str | None, typer.Option(help="Mode of torch.compile; default: the fastest for the device.")
    ] = None,
    weights: Annotated[
        str, typer.Option(help="A name from weights/ or a .safetensors file.")
    ] = DEFAULT_WEIGHTS,
    exports: Annotated[
        list[Path] | None,
        typer.Option(
            "--export", help="An exported file to measure as well; may be given several times."
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Photographs for pipeline, detector and preprocess; default: one that is included."
        ),
    ] = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    seconds: Annotated[
        float, typer.Option(help="Measure each row for at least this many seconds.")
    ] = _DEFAULT.seconds,
    iterations: Annotated[
        int, typer.Option(help="Measure each row for at least this many calls.")
    ] = _DEFAULT.iterations,
    json_file: Annotated[Path | None, json_option("the figures")] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the rows as CSV to this file; - is standard output."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write a chart (.png, .svg, .pdf) to this file.")
    ] = None,
) -> None:
    """Measure latency, throughput and agreement of several backends, taking turns.

    Ctrl-C keeps what is measured so far.
    Exits with 7, and writes no file, if nothing could be measured.
    """
    if plot is not None:
        check_picture(plot, "--plot")
    require_writable(
        *(json_file, csv_file, plot),
        sources=weights_files(weights, *(exports or ())),
        data_sets=[images],
    )
    config = BenchConfig(
        targets=tuple(_choose(Target, name, "--what") for name in what.split(",")),
        batches=tuple(_number(text) for text in batch.split(",")),
        backends=None
        if backends is None
        else tuple(_choose(Backend, name, "--backends") for name in backends.split(",")),
        precisions=None
        if precision is None
        else tuple(_choose(Precision, name, "--precision") for name in precision.split(",")),
        compile_mode=compile_mode,
        weights=weights,
        exports=tuple(exports or ()),
        images=images,
        device=device,
        threads=threads,
        seconds=seconds,
        iterations=iterations,
    )
    rows: list[Row] = []
    try:
        with console.status("loading") as status:
            # Late, because it brings torch.
            from glamor_cli.bench.run import run_bench

            result = run_bench(config, status.update, rows.extend)
    except KeyboardInterrupt:
        if all(row.p50_ms is None for row in rows):
            # An earlier file must not be lost for one without a figure.
            if rows:
                _print_table(BenchResult(describe_environment(), tuple(rows)))
            exit_stopped("nothing has been measured yet", None)
        # A second Ctrl-C waits until the rows so far are in place.
        with undisturbed():
            _report(BenchResult(describe_environment(), tuple(rows)), json_file, csv_file, plot)
            exit_stopped(_not_measured(config, rows), None)
    if all(row.p50_ms is None for row in result.rows):
        # Nor must it here.
        _print_table(result)
        raise BackendUnavailable(
            "nothing could be measured",
            "The reasons are above; glamor doctor says what works here and what to install.",
        )
    _report(result, json_file, csv_file, plot)


def _report(
    result: BenchResult, json_file: Path | None, csv_file: Path | None, plot: Path | None
) -> None:
    from glamor_cli.bench.report import to_csv, write_plot

    _print_table(result)
    with (
        result_first(csv_file, lambda path: write_result(path, to_csv(result))),
        json_first(json_file, result.to_dict, "figures"),
    ):
        if plot is not None:
            write_plot(result, plot)


def _not_measured(config: BenchConfig, rows: list[Row]) -> str:
    """Say which targets and batch sizes have no rows."""
    done = {(row.what, row.batch) for row in rows}
    left: dict[Target, list[str]] = {}
    for target in config.targets:
        for batch in config.batches:
            if (target, batch) not in done:
                left.setdefault(target, []).append(str(batch))
    if not left:
        return "everything was measured"
    parts = (f"{target}, batch of {' and '.join(sizes)}" for target, sizes in left.items())
    return f"not measured: {'; '.join(parts)}"


def _choose(kind: type[Choice], name: str, option: str) -> Choice:
    try:
        return kind(name.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{option}: {name!r} is not one of {', '.join(kind)}") from error


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"--batch: {text!r} is not a whole number") from error


def _print_table(result: BenchResult) -> None:
    environment = result.environment
    # Not every system tells its load.
    load = "" if environment.load is None else f"load {environment.load:.1f}, "
    say(f"{environment.cpu}, {environment.cores} cores, {load}GPU: {environment.gpu or 'none'}")
    for what in dict.fromkeys(row.what for row in result.rows):
        measured = [row for row in result.rows if row.what is what and row.p50_ms is not None]
        if measured:
            print_table(_table(what, measured))
    # One line a reason: a backend that is not here is not here at every batch size.
    missing: dict[tuple[str, str], dict[str, None]] = {}
    for row in result.rows:
        if row.p50_ms is None:
            name = " ".join(filter(None, (row.backend, row.precision)))
            missing.setdefault((row.what, row.status), {})[name] = None
    for (target, reason), names in missing.items():
        say(f"not measured: {target}, {', '.join(names)}: {reason}")


def _table(what: str, rows: list[Row]) -> Table:
    # Columns that would be empty, as the GPU's are on a CPU, are left out.
    columns = [
        (heading, justify, [tell(row) for row in rows])
        for heading, justify, tell in _COLUMNS
        if any(tell(row) for row in rows)
    ]
    table = Table(title=what, title_justify="left", padding=(0, 0), pad_edge=False)
    for heading, justify, _ in columns:
        # Of a long name, rather than of the figures, something goes to the next line.
        overflow: Literal["fold", "ellipsis"] = "fold" if heading == "file" else "ellipsis"
        table.add_column(heading, justify=justify, overflow=overflow)
    for index, row in enumerate(rows):
        ends = index + 1 == len(rows) or row.batch != rows[index + 1].batch
        table.add_row(*(cells[index] for _, _, cells in columns), end_section=ends)
    return table


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


_COLUMNS: list[tuple[str, Literal["left", "right"], Callable[[Row], str]]] = [
    ("backend", "left", lambda row: f"{row.backend} {row.precision}"),
    ("provider", "left", lambda row: row.provider.removesuffix("ExecutionProvider")),
    ("file", "left", lambda row: escape(printable(Path(row.export or "").name))),
    ("batch", "right", lambda row: str(row.batch)),
    ("p50 ms", "right", lambda row: _figure(row.p50_ms, ".2f")),
    ("p99", "right", lambda row: _figure(row.p99_ms, ".2f")),
    ("GPU ms", "right", lambda row: _figure(row.device_p50_ms, ".4f")),
    ("img/s", "right", lambda row: _figure(row.images_per_second, ".1f")),
    ("floor x", "right", lambda row: _figure(row.floor_ratio, ".2f")),
    ("diff", "right", lambda row: _figure(row.max_abs_diff, ".0e")),
    ("same", "right", lambda row: _figure(row.top1_agreement, ".1%").replace(".0%", "%")),
]
