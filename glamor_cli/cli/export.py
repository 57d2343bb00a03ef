"""``glamor export``: weights to a verified file for other engines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from glamor_cli.cli.render import console
from glamor_cli.export.config import (
    DEFAULT_OPSET,
    BatchRange,
    ExportConfig,
    Int8Form,
    Precision,
)
from glamor_cli.weights import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from glamor_cli.export.config import ExportReport

_BATCH = BatchRange()


def export(
    weights: Annotated[
        str, typer.Option(help="A name from weights/ or a .safetensors file.")
    ] = DEFAULT_WEIGHTS,
    output: Annotated[
        Path | None, typer.Option(help="The .onnx file; else named by weights and precision.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="What the graph computes in.")
    ] = Precision.FP32,
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators.")] = DEFAULT_OPSET,
    batch_min: Annotated[int, typer.Option(help="Smallest batch.")] = _BATCH.minimum,
    batch_opt: Annotated[int, typer.Option(help="Usual batch.")] = _BATCH.optimum,
    batch_max: Annotated[int, typer.Option(help="Largest batch.")] = _BATCH.maximum,
    verify: Annotated[
        Path | None, typer.Option(help="Pair store or images to compare answers on.")
    ] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Pair store or images for INT8; else those of --verify.")
    ] = None,
    int8_form: Annotated[
        Int8Form, typer.Option(help="Which engine INT8 is made for.")
    ] = Int8Form.CPU,
    half_storage: Annotated[
        bool, typer.Option("--half-storage", help="FP32 whose weights are kept in float16.")
    ] = False,
    atol: Annotated[
        float | None, typer.Option(help="Largest difference allowed; else the precision's.")
    ] = None,
) -> None:
    """Export to ONNX and compare the answers; a file that disagrees is not kept."""
    config = ExportConfig(
        precision=precision,
        opset=opset,
        batch=BatchRange(batch_min, batch_opt, batch_max),
        verify=verify,
        calibrate=calibrate,
        int8_form=int8_form,
        half_storage=half_storage,
        atol=atol,
    )
    with console.status("exporting and comparing answers"):
        # Late, because it brings torch.
        from glamor_cli.export.onnx_export import export_onnx
        from glamor_cli.weights import find_weights

        source = find_weights(weights)
        target = output or Path(f"{source.stem}{_suffix(config)}.onnx")
        report = export_onnx(source, target, config)
    _print_report(report)


def _suffix(config: ExportConfig) -> str:
    """Keep files of different precision apart."""
    if config.precision is Precision.FP32:
        return ""
    if config.precision is Precision.INT8 and config.int8_form is Int8Form.TENSORRT:
        return "-int8-tensorrt"
    return f"-{config.precision}"


def _print_report(report: "ExportReport") -> None:
    table = Table("compared on", "largest difference", "same emotion", "accuracy (float32)")
    for check in report.batches:
        table.add_row(f"batch of {check.batch}", f"{check.max_abs_diff:.1e}", "", "")
    agreement = report.agreement
    if agreement is not None:
        accuracy = ""
        if agreement.accuracy is not None and agreement.reference_accuracy is not None:
            accuracy = f"{agreement.accuracy:.2%} ({agreement.reference_accuracy:.2%})"
        table.add_row(
            f"{agreement.pairs} real pairs",
            f"{agreement.max_abs_diff:.1e}",
            f"{agreement.top1:.2%}",
            accuracy,
        )
    console.print(table)
    console.print(
        f"{report.path}: {report.precision}, opset {report.opset}, "
        f"{report.bytes / 1e6:.1f} MB, in {report.seconds:.0f} s; "
        f"differences up to {report.atol:.0e} were allowed",
        markup=False,
        soft_wrap=True,
    )
