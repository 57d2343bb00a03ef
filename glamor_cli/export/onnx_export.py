"""Weights to a verified ONNX file."""

import time
from importlib.metadata import version
from pathlib import Path

import onnx

from glamor_cli.errors import ConfigError
from glamor_cli.export.graph import build_graph, describe
from glamor_cli.export.options import (
    ExportConfig,
    ExportPrecision,
    ExportReport,
    Int8Form,
    require_suffix,
)
from glamor_cli.export.pairs import Pairs, fill_contexts, load_pairs
from glamor_cli.export.precision import quantize, store_half
from glamor_cli.export.verify import check_structure, verify_export
from glamor_cli.files.atomic import atomic_path
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime, require_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.runtimes.options import Device
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network
from glamor_cli.weights.registry import find_weights


def export_onnx(
    weights: str | Path, out: str | Path, config: ExportConfig | None = None
) -> ExportReport:
    """Export weights, verify what was written, and only then give it its name.

    Args:
        weights: A name from ``weights/`` or a ``.safetensors`` file of ours.
        out: The ``.onnx`` file. If a check fails, nothing is left, and an older file stays.
        config: What to export.

    Raises:
        ConfigError: There are no such weights, ``out`` does not end in ``.onnx`` or its folder
            cannot be written to.
        CheckpointError: The weights are damaged or foreign.
        DataError: The images for verification or calibration cannot be used.
        ExportError: The graph is not valid, or its answers differ by more than is allowed.
        BackendUnavailable: What it is to be verified on is not here or fails on a batch, or the
            detector that makes pairs of images is not here.
    """
    config = config or ExportConfig()
    started = time.perf_counter()
    weights, out = find_weights(weights, kinds=(".safetensors",)), Path(out)
    _check_suffixes(weights, out)
    require_runtime(config.device, config.provider)
    network, metadata = load_network(weights)
    # Now and not when it is needed: a training may replace the file meanwhile.
    reference = TorchRuntime(weights, device="cpu", threads=config.threads)
    # Read before the slow part, so that a wrong folder is found at once.
    verification = None
    if config.verify is not None:
        verification = load_pairs(
            config.verify, config.verification_pairs, metadata.classes, threads=config.threads
        )
    calibration = load_calibration(config, metadata.classes)
    model = make_graph(network, metadata, config, calibration)
    with atomic_path(out) as temporary:
        onnx.save(model, temporary)
        check_structure(temporary, config.opset, metadata.network)
        runtime = _open(temporary, config)
        tolerance = config.tolerance(runtime.arithmetic)
        # INT8 is only right within the ranges it has seen, which noise is not.
        pairs = calibration if verification is None else verification
        batches, agreement = verify_export(runtime, reference, config.batch, tolerance, pairs)
        # Windows cannot rename a file that a session holds open.
        del runtime
    return ExportReport(
        path=out,
        precision=config.precision,
        opset=config.opset,
        bytes=out.stat().st_size,
        atol=tolerance.atol,
        batches=batches,
        agreement=agreement,
        seconds=time.perf_counter() - started,
    )


def make_graph(
    network: GlamorNet, metadata: Metadata, config: ExportConfig, calibration: Pairs | None
) -> onnx.ModelProto:
    """Build the graph in the precision asked for, not verified yet.

    Args:
        network: In evaluation mode, float32, on the CPU.
        metadata: Written into the graph.
        config: What to export.
        calibration: From ``load_calibration``; INT8 needs it.
    """
    half = config.precision is ExportPrecision.FP16
    fold = not config.half_storage
    model = build_graph(network, metadata, opset=config.opset, half=half, fold=fold)
    if calibration is not None:
        model = quantize(model, calibration, config.int8_form)
    if config.half_storage:
        store_half(model)
    how: dict[str, object] = {
        "precision": str(config.precision),
        "half_storage": config.half_storage,
        "opset": config.opset,
        "torch": version("torch"),
        "onnx": version("onnx"),
    }
    if calibration is not None:
        how |= {"int8_form": str(config.int8_form), "calibration_pairs": len(calibration)}
    describe(model, metadata, how)
    return model


def _open(path: Path, config: ExportConfig) -> Runtime:
    """Open what was written, on what it is to be verified on."""
    if config.precision is ExportPrecision.INT8 and config.int8_form is Int8Form.TENSORRT:
        # ONNX Runtime's own INT8 kernels are not what TensorRT will run.
        return OnnxRuntime(path, device="cpu", threads=config.threads, optimize=False)
    on_cpu = config.provider is None and config.device == Device.AUTO
    return open_runtime(
        path,
        device=Device.CPU if on_cpu else config.device,
        threads=config.threads,
        provider=config.provider,
    )


def load_calibration(config: ExportConfig, classes: tuple[str, ...]) -> Pairs | None:
    """Read the pairs that INT8's ranges are measured on; None for other precisions.

    Raises:
        DataError: The images cannot be used.
        BackendUnavailable: A package that the detector of faces needs is not installed.
    """
    source = config.calibration_source
    if config.precision is not ExportPrecision.INT8 or source is None:
        return None
    pairs = load_pairs(
        source, config.calibration_pairs, classes, calibration=True, threads=config.threads
    )
    return fill_contexts(pairs)


def _check_suffixes(weights: Path, out: Path) -> None:
    if weights.suffix != ".safetensors":
        raise ConfigError(
            f"{weights} is not a .safetensors file",
            "Export from the weights themselves: a name from weights/ or a .safetensors file.",
        )
    require_suffix(out, ".onnx")
