"""``glamor export``: weights to a verified file for other engines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from glamor_cli.cli.input_files import weights_files
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, say
from glamor_cli.cli.runtime_options import ThreadsOption
from glamor_cli.errors import ConfigError
from glamor_cli.export.options import (
    DEFAULT_OPSET,
    BatchRange,
    ExportConfig,
    ExportPrecision,
    Int8Form,
)
from glamor_cli.runtimes.options import Device, Provider
from glamor_cli.runtimes.sidecar import sidecar_path
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

if TYPE_CHECKING:
    from glamor_cli.export.artefacts import Artefacts
    from glamor_cli.export.options import ExportReport

_BATCH = BatchRange()


def export(
    weights: Annotated[
        str,
        typer.Option(
            help="A name from weights/ or a .safetensors file; with --trt and --with-preprocessing "
            "also an .onnx file, which is built on as it is."
        ),
    ] = DEFAULT_WEIGHTS,
    output: Annotated[
        Path | None,
        typer.Option(help="The .onnx or .engine file; default: named after weights and precision."),
    ] = None,
    precision: Annotated[
        ExportPrecision, typer.Option(help="Precision of the graph.")
    ] = ExportPrecision.FP32,
    opset: Annotated[int, typer.Option(help="Version of the ONNX operator set.")] = DEFAULT_OPSET,
    batch_min: Annotated[int, typer.Option(help="Smallest batch.")] = _BATCH.minimum,
    batch_opt: Annotated[
        int | None,
        typer.Option(
            help=f"Usual batch; default: {_BATCH.optimum}, or the nearest from --batch-min to "
            "--batch-max."
        ),
    ] = None,
    batch_max: Annotated[int, typer.Option(help="Largest batch.")] = _BATCH.maximum,
    verify: Annotated[
        Path | None, typer.Option(help="Pair store or images to compare the answers on.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Pair store or images to calibrate INT8; default: those of --verify."),
    ] = None,
    int8_form: Annotated[
        Int8Form | None,
        typer.Option(
            help=f"Which engine INT8 is made for; default: {ExportConfig.int8_form}, "
            "and for --trt its own."
        ),
    ] = None,
    half_storage: Annotated[
        bool, typer.Option("--half-storage", help="Keep the weights of an fp32 graph in float16.")
    ] = False,
    atol: Annotated[
        float | None,
        typer.Option(help="Largest difference allowed; default: depends on the precision."),
    ] = None,
    device: Annotated[
        Device,
        typer.Option(
            help="What the ONNX file is verified on; auto: what --provider runs on, else the CPU."
        ),
    ] = Device.AUTO,
    threads: ThreadsOption = None,
    provider: Annotated[
        Provider | None,
        typer.Option(help="What verifies the ONNX file; default: ONNX Runtime on --device."),
    ] = None,
    with_preprocessing: Annotated[
        bool,
        typer.Option("--with-preprocessing", help="Make a graph that takes an image and boxes."),
    ] = False,
    trt: Annotated[bool, typer.Option("--trt", help="Build a TensorRT engine.")] = False,
    target: Annotated[
        Target | None, typer.Option(help="TensorRT or TensorRT-RTX; default: what is installed.")
    ] = None,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            help="GPU generation for TensorRT-RTX, such as SM89; may be given several times."
        ),
    ] = None,
    workspace: Annotated[
        int | None,
        typer.Option(
            help="Memory that an engine may use as workspace, in MiB; default: the builder's."
        ),
    ] = None,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="File that keeps TensorRT's kernel timings for later builds."),
    ] = None,
    triton_repository: Annotated[
        Path | None, typer.Option(help="Also write a model repository for Triton Inference Server.")
    ] = None,
) -> None:
    """Export to ONNX or TensorRT, and compare the answers; a file that disagrees is not kept."""
    if precision is not ExportPrecision.INT8 and (calibrate or int8_form):
        raise ConfigError(
            "--calibrate and --int8-form are for --precision int8 only",
            "Add --precision int8, or leave them out.",
        )
    if trt and int8_form is Int8Form.CPU:
        raise ConfigError(
            f"TensorRT cannot build from the INT8 form {int8_form}", "Leave --int8-form out."
        )
    for_tensorrt = precision is ExportPrecision.INT8 and (trt or int8_form is Int8Form.TENSORRT)
    if for_tensorrt and (device is Device.CUDA or provider not in (None, Provider.CPU)):
        raise ConfigError(
            f"the INT8 form {Int8Form.TENSORRT} is verified on the CPU, exactly as the graph says",
            "Leave --device and --provider out.",
        )
    if not trt and (target or gpu or workspace is not None or timing_cache):
        raise ConfigError(
            "--target, --gpu, --workspace and --timing-cache are for engines only",
            "Add --trt, or leave them out.",
        )
    onnx = ExportConfig(
        precision=precision,
        opset=opset,
        batch=BatchRange.within(batch_min, batch_opt, batch_max),
        verify=verify,
        calibrate=calibrate,
        int8_form=int8_form or ExportConfig.int8_form,
        half_storage=half_storage,
        atol=atol,
        device=device,
        threads=threads,
        provider=provider,
    )
    out = output or Path(_name(Path(weights).stem, onnx, trt=trt, image=with_preprocessing))
    beside = sidecar_path(out) if trt else None
    require_writable(
        out, beside, timing_cache, folder=triton_repository, sources=weights_files(weights)
    )
    with console.status("exporting and comparing answers"):
        # Late, because it brings torch.
        from glamor_cli.export.artefacts import ArtefactConfig, export_artefacts
        from glamor_cli.export.tensorrt_build import EngineConfig

        engine = None
        if trt:
            engine = EngineConfig(
                target=target,
                batch=onnx.batch,
                workspace=workspace,
                timing_cache=timing_cache,
                generations=tuple(gpu or ()),
            )
        config = ArtefactConfig(
            onnx=onnx,
            with_preprocessing=with_preprocessing,
            engine=engine,
            triton_repository=triton_repository,
        )
        artefacts = export_artefacts(weights, out, config)
    _print_report(artefacts.onnx, half_storage=half_storage)
    _print_engine(artefacts)


def _name(stem: str, config: ExportConfig, *, trt: bool, image: bool) -> str:
    """Name a file by its weights and what it is."""
    if trt:
        precision = config.precision
        return (
            f"{stem}.engine" if precision is ExportPrecision.FP32 else f"{stem}-{precision}.engine"
        )
    return f"{stem}{_suffix(config)}{'-image' if image else ''}.onnx"


def _suffix(config: ExportConfig) -> str:
    """Keep files of different precision apart, and those of half the size."""
    if config.precision is ExportPrecision.FP32:
        return "-half-storage" if config.half_storage else ""
    if config.precision is ExportPrecision.INT8 and config.int8_form is Int8Form.TENSORRT:
        return "-int8-tensorrt"
    return f"-{config.precision}"


def _print_report(report: "ExportReport", *, half_storage: bool) -> None:
    kept = " in half storage" if half_storage else ""
    took = f", in {report.seconds:.0f} s" if report.seconds else ""
    allowed = ""
    # Nothing is compared for a file that was exported before.
    if report.batches:
        _print_checks(report)
        allowed = f"; differences up to {report.atol:g} were allowed"
    say(
        f"{report.path}: {report.precision}{kept}, opset {report.opset}, "
        f"{report.bytes / 1e6:.1f} MB{took}{allowed}"
    )


def _print_checks(report: "ExportReport") -> None:
    agreement = report.agreement
    of_pairs = () if agreement is None else ("same emotion", "accuracy (float32)")
    table = Table("compared on", "largest difference", *of_pairs)
    for check in report.batches:
        table.add_row(f"batch of {check.batch}", f"{check.max_abs_diff:.1e}")
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


def _print_engine(artefacts: "Artefacts") -> None:
    engine = artefacts.engine
    if engine is not None:
        sidecar = engine.sidecar
        say(
            f"{sidecar.target} {sidecar.version} for {', '.join(sidecar.architectures)}, "
            f"batch {sidecar.batch_min} to {sidecar.batch_max}, built in {engine.seconds:.1f} s"
        )
    if not artefacts.verified:
        how = "as ONNX" if artefacts.onnx.batches else "when the ONNX file was exported"
        say(f"compared {how}: there is no GPU here that runs the engine itself")
    if artefacts.model_folder is not None:
        say(f"{artefacts.model_folder}: for tritonserver")
