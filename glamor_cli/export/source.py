"""The network that engines and graphs with preprocessing are built on: an ONNX file.

It is exported from weights for the purpose, or it is one that was exported before.
"""

import time
from pathlib import Path

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import (
    DEFAULT_OPSET,
    ExportConfig,
    ExportPrecision,
    ExportReport,
    Int8Form,
)
from glamor_cli.files.reading import MALFORMED
from glamor_cli.runtimes.exported import ExportedFile, read_exported
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.runtimes.options import Device
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import read_metadata

EXPORTED = ".onnx"


def read_source(weights: Path, config: ExportConfig, *, engine: bool) -> Metadata:
    """Find out, before the slow part, whether something can be built on weights or a file.

    Args:
        weights: A ``.safetensors`` file of ours, or an ``.onnx`` file from ``glamor export``.
        config: How to export; what a file that was exported cannot follow is refused.
        engine: Whether a TensorRT engine is to be built.

    Returns:
        What it says of the network.

    Raises:
        ConfigError: Such settings, or a file in a form that TensorRT does not take.
        CheckpointError: The weights or the file are damaged or foreign.
    """
    if weights.suffix != EXPORTED:
        return read_metadata(weights)
    exported = read_exported(weights)
    exported.require_network()
    precision, _ = _how(exported)
    given = [option for option, given in _without_effect(config, engine=engine).items() if given]
    if given:
        raise ConfigError(
            f"{weights} has been exported already, in {precision}, and stays as it is",
            f"Leave {', '.join(given)} out, or give the weights that it was made of.",
        )
    if engine and exported.how.get("int8_form") == Int8Form.CPU:
        raise ConfigError(
            f"{weights} has the INT8 form {Int8Form.CPU}, which TensorRT does not take",
            f"Give one exported with --int8-form {Int8Form.TENSORRT}, or the weights.",
        )
    if engine and exported.how.get("half_storage"):
        raise ConfigError(
            f"{weights} keeps its weights in float16 to be small, which TensorRT does not take",
            "Give one exported without --half-storage, or the weights.",
        )
    return exported.metadata


def network_file(weights: Path, scratch: Path, config: ExportConfig) -> ExportReport:
    """Export weights into a folder; a file that was exported is taken as it is, and where it is.

    Returns:
        How it was found to agree: nothing is compared for a file that was exported before.
    """
    if weights.suffix != EXPORTED:
        return export_onnx(weights, scratch / "network.onnx", config)
    started = time.perf_counter()
    precision, opset = _how(read_exported(weights))
    return ExportReport(
        path=weights,
        precision=precision,
        opset=opset,
        bytes=weights.stat().st_size,
        atol=config.tolerance(bfloat16=False, precision=precision).atol,
        batches=(),
        agreement=None,
        seconds=time.perf_counter() - started,
    )


def open_reference(weights: Path, threads: int | None) -> Runtime:
    """Open what an engine is compared with: the float32 network, or the file it was built from."""
    if weights.suffix != EXPORTED:
        return TorchRuntime(weights, device=Device.CPU, threads=threads)
    # Unoptimised, INT8 is computed as the graph says, and not by ONNX Runtime's own kernels.
    precision, _ = _how(read_exported(weights))
    optimize = precision is not ExportPrecision.INT8
    return OnnxRuntime(weights, device=Device.CPU, threads=threads, optimize=optimize)


def _without_effect(config: ExportConfig, *, engine: bool) -> dict[str, bool]:
    """Tell of settings that an exported file cannot follow whether they are asked for."""
    return {
        "--precision": config.precision is not ExportConfig.precision,
        "--opset": config.opset != DEFAULT_OPSET,
        "--half-storage": config.half_storage,
        "--calibrate": config.calibrate is not None,
        "--device": config.device != ExportConfig.device,
        "--provider": config.provider is not None,
        # A graph with preprocessing is compared with the file that it is made of, exactly.
        "--verify": not engine and config.verify is not None,
        "--atol": not engine and config.atol is not None,
    }


def _how(exported: ExportedFile) -> tuple[ExportPrecision, int]:
    """Read in what precision and opset a file was exported.

    Raises:
        CheckpointError: It does not say.
    """
    try:
        return ExportPrecision(exported.precision), int(str(exported.how["opset"]))
    except MALFORMED as error:
        raise CheckpointError(
            f"{exported.path} does not say how it was exported", "Export it anew."
        ) from error
