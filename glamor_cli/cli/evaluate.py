"""``glamor evaluate``: how often a network is right on a pair store, and where not."""

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
    FlipOption,
    ProviderOption,
    SplitOption,
    StoreArgument,
    ThreadsOption,
    WeightsOption,
)
from glamor_cli.cli.tables import print_table
from glamor_cli.counts import count
from glamor_cli.runtimes.options import PAIRS_AT_ONCE, Device
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from glamor_cli.evaluation.evaluate import StoreEvaluation
    from glamor_cli.evaluation.metrics import Metrics


def evaluate(
    store: StoreArgument,
    weights: WeightsOption = DEFAULT_WEIGHTS,
    split: SplitOption = None,
    device: DeviceOption = Device.AUTO,
    batch: BatchOption = PAIRS_AT_ONCE,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    flip: FlipOption = False,
    json_file: Annotated[Path | None, json_option("the figures")] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write report.html, figures and every answer into this folder."),
    ] = None,
) -> None:
    """Judge a network on a pair store: accuracy, macro-F1, figures per class, confusion.

    Classes without pairs have no figures: - in the table, null in --json.
    """
    from glamor_cli.evaluation.evaluate import EvaluateConfig, evaluate_store
    from glamor_cli.evaluation.report import report_files

    require_writable(
        json_file,
        *([] if report is None else report_files(report)),
        folder=report,
        sources=[*store_files(store), *weights_files(weights)],
    )
    config = EvaluateConfig(
        store=store,
        weights=weights,
        split=split,
        device=device,
        batch=batch,
        threads=threads,
        provider=provider,
        flip=flip,
    )
    with progress_bar("evaluating", "pairs") as show:
        result = evaluate_store(config, show)
    _print(result)
    with json_first(json_file, result.to_dict, "figures"):
        if report is not None:
            _write_report(report, result)


def _print(result: "StoreEvaluation") -> None:
    metrics = result.evaluation.metrics
    say(
        f"{metrics.accuracy:.2%} of {count(metrics.count, 'pair')} right, "
        f"macro-F1 {metrics.macro_f1:.4f}, "
        f"calibration error {metrics.calibration_error:.4f}, "
        f"negative log-likelihood {metrics.negative_log_likelihood:.4f}",
        style="bold",
    )
    say(
        f"{result.weights.name} on {result.store} ({result.split}), "
        f"{result.engine.backend} {result.engine.provider}"
        + (", mirror images averaged" if result.config.flip else "")
    )
    say_notes(result.notes)
    print_table(_class_table(metrics))
    print_table(_confusion_table(metrics))


def _class_table(metrics: "Metrics") -> Table:
    table = Table("class")
    for column in ("precision", "recall", "F1", "pairs"):
        table.add_column(column, justify="right")
    for name, figures in zip(metrics.classes, metrics.per_class, strict=True):
        shares = (figures.precision, figures.recall, figures.f1)
        cells = (f"{share:.3f}" if figures.support else "-" for share in shares)
        table.add_row(Text(name), *cells, str(figures.support))
    return table


def _confusion_table(metrics: "Metrics") -> Table:
    """Lay out the confusion matrix: a row per label, a column per answer."""
    table = Table("label \\ answer")
    for name in metrics.classes:
        table.add_column(Text(name), justify="right")
    for row, name in enumerate(metrics.classes):
        cells = [Text(str(n) if n else "", "dim") for n in metrics.confusion[row]]
        cells[row] = Text(str(metrics.confusion[row, row]), "bold")
        table.add_row(Text(name), *cells)
    return table


def _write_report(folder: Path, result: "StoreEvaluation") -> None:
    from glamor_cli.evaluation.report import REPORT, write_report

    write_report(folder, result)
    say(f"report in {folder / REPORT}")
