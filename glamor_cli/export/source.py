"""The network that engines and graphs with preprocessing are built on: an ONNX file.

It is exported from weights for the purpose, or it is one that was exported before.
"""

from dataclasses import dataclass
from pathlib import Path

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import (
    DEFAULT_OPSET,
    BatchRange,
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


@dataclass(frozen=True)
class Source:
    """What is exported, or built on.

    Attributes:
        path: A ``.safetensors`` file of ours, or an ``.onnx`` file from ``glamor export``.
        metadata: What it says of the network.
        precision: In what a file that was exported before computes; None for weights.
        opset: Of such a file.
    """

    path: Path
    metadata: Metadata
    precision: ExportPrecision | None = None
    opset: int = DEFAULT_OPSET

    def as_onnx(self, scratch: Path, config: ExportConfig) -> ExportReport:
        """Export weights into a folder; an exported file is taken as it is, and where it is.

        Returns:
            How it was found to agree: nothing is compared for a file that was exported before.
        """
        if self.precision is None:
            return export_onnx(self.path, scratch / "network.onnx", config)
        return ExportReport(
            path=self.path,
            precision=self.precision,
            opset=self.opset,
            bytes=self.path.stat().st_size,
            atol=config.tolerance(precision=self.precision).atol,
            batches=(),
            agreement=None,
            seconds=0.0,
        )

    def open_reference(self, threads: int | None) -> Runtime:
        """Open what an engine is compared with: the float32 network, or the file it is of."""
        if self.precision is None:
            return TorchRuntime(self.path, device=Device.CPU, threads=threads)
        # Unoptimised, INT8 is computed as the graph says, and not by ONNX Runtime's own kernels.
        optimize = self.precision is not ExportPrecision.INT8
        return OnnxRuntime(self.path, device=Device.CPU, threads=threads, optimize=optimize)


def open_source(
    path: Path, config: ExportConfig, *, engine: bool, with_preprocessing: bool
) -> Source:
    """Find out, before the slow part, whether weights or a file can become what is asked for.

    Args:
        path: The file.
        config: How to export; what a file that was exported before cannot follow is refused.
        engine: Whether a TensorRT engine is to be built.
        with_preprocessing: Whether preprocessing is to go in front.

    Raises:
        ConfigError: The file cannot become that, or not with these settings.
        CheckpointError: It is damaged or foreign.
    """
    if path.suffix == ".engine":
        raise ConfigError(
            f"{path} is an engine already", "Give the weights, or the .onnx file it was built from."
        )
    if path.suffix != ".onnx":
        return Source(path, read_metadata(path))
    if not engine and not with_preprocessing:
        raise ConfigError(
            f"{path} is an exported file already",
            "Add --trt or --with-preprocessing to build on it, or give the weights themselves.",
        )
    exported = read_exported(path)
    exported.require_network()
    precision, opset = _how(exported)
    given = [option for option, given in _without_effect(config, engine=engine).items() if given]
    if given:
        raise ConfigError(
            f"{path} has been exported already, in {precision}, and cannot be changed",
            f"Leave {', '.join(given)} out, or give the weights that it was exported from.",
        )
    if engine and exported.how.get("int8_form") == Int8Form.CPU:
        raise ConfigError(
            f"{path} has the INT8 form {Int8Form.CPU}, which TensorRT does not accept",
            f"Give one exported with --int8-form {Int8Form.TENSORRT}, or the weights.",
        )
    if engine and exported.how.get("half_storage"):
        raise ConfigError(
            f"{path} keeps its weights in float16 to be small, which TensorRT does not accept",
            "Give one exported without --half-storage, or the weights.",
        )
    return Source(path, exported.metadata, precision, opset)


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
        "--batch-min, --batch-opt and --batch-max": not engine and config.batch != BatchRange(),
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
            f"{exported.path} does not say how it was exported", "Export it again."
        ) from error
