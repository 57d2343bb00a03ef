"""What ``glamor export`` leaves behind: an ONNX file, a graph with preprocessing, or an engine."""

import dataclasses
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from glamor_cli.errors import ConfigError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import (
    ExportConfig,
    ExportReport,
    Int8Form,
    require_suffix,
)
from glamor_cli.export.pairs import load_pairs
from glamor_cli.export.source import Source, open_source
from glamor_cli.export.tensorrt_build import (
    EngineConfig,
    EngineReport,
    build_engine,
    require_buildable,
)
from glamor_cli.export.triton_repository import (
    require_place,
    require_served,
    write_triton_repository,
)
from glamor_cli.export.verify import verify_export
from glamor_cli.export.with_preprocessing import add_preprocessing
from glamor_cli.files.atomic import atomic_path
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.sidecar import sidecar_path
from glamor_cli.settings import settle_paths
from glamor_cli.system.gpus import query_driver
from glamor_cli.weights.registry import find_weights


@dataclass(frozen=True)
class ArtefactConfig:
    """What to make of weights.

    Attributes:
        onnx: The network's export, on which the rest is built.
        with_preprocessing: Put cropping, masking and sampling into the graph.
        engine: Build a TensorRT engine instead of keeping the ONNX file.
        triton_repository: Also write the result into this model repository.

    Raises:
        ConfigError: An engine with preprocessing or in half storage, which does not exist.
    """

    onnx: ExportConfig = field(default_factory=ExportConfig)
    with_preprocessing: bool = False
    engine: EngineConfig | None = None
    triton_repository: Path | None = None

    def __post_init__(self) -> None:
        settle_paths(self, "triton_repository")
        if self.with_preprocessing and self.engine is not None:
            raise ConfigError(
                "preprocessing goes into ONNX files only, not into engines",
                "Leave --trt or --with-preprocessing out.",
            )
        if self.onnx.half_storage and self.engine is not None:
            raise ConfigError(
                "half storage is for ONNX files only, not for engines", "Leave --half-storage out."
            )


@dataclass(frozen=True)
class Artefacts:
    """What was made.

    Attributes:
        onnx: The network's export and how it was found to agree, which says nothing where it was
            exported before; ``path`` and ``bytes`` are of the file that was kept.
        engine: The engine; None without one.
        verified: Whether the file kept was itself run and compared. An engine for which there is
            no GPU here can only be compared as ONNX; an ONNX file that was exported before was
            compared then.
        model_folder: The folder in the Triton repository; None without one.
    """

    onnx: ExportReport
    engine: EngineReport | None
    verified: bool
    model_folder: Path | None


def export_artefacts(weights: str | Path, out: str | Path, config: ArtefactConfig) -> Artefacts:
    """Export weights to one file, verified, and where asked into a Triton repository.

    Args:
        weights: A name from ``weights/``, a ``.safetensors`` file of ours, or an ``.onnx`` file
            that was exported before, on which an engine or a graph with preprocessing is built.
        out: The ``.onnx`` or ``.engine`` file. If anything fails, an older one stays.
        config: What to make.

    Raises:
        ConfigError: No such weights, settings that do not go together or with a file that was
            exported before, a folder that cannot be written to, or a repository whose model of that
            name has other inputs or outputs.
        CheckpointError: The weights or the file are damaged or foreign.
        DataError: The images for verification or calibration cannot be used.
        ExportError: The graph or the engine is refused, or its answers differ too much.
        BackendUnavailable: TensorRT, or the GPU it needs, is not here, or an engine fails on a
            batch.
    """
    out = Path(out)
    builds_on = config.engine is not None or config.with_preprocessing
    source = open_source(
        find_weights(weights, kinds=(".safetensors", ".onnx") if builds_on else (".safetensors",)),
        config.onnx,
        engine=config.engine is not None,
        with_preprocessing=config.with_preprocessing,
    )
    _require_tensorrt(config)
    if config.triton_repository is not None:
        require_place(
            source.metadata,
            config.triton_repository,
            with_preprocessing=config.with_preprocessing,
        )
    engine = None
    verified = True
    if config.engine is not None:
        report, engine, verified = _export_engine(source, out, config.onnx, config.engine)
    elif config.with_preprocessing:
        report = _export_with_preprocessing(source, out, config.onnx)
    else:
        report = export_onnx(source.path, out, config.onnx)
    report = dataclasses.replace(report, path=out, bytes=out.stat().st_size)
    folder = None
    if config.triton_repository is not None:
        folder = write_triton_repository(out, config.triton_repository, config.onnx.batch)
    return Artefacts(report, engine, verified, folder)


def _require_tensorrt(config: ArtefactConfig) -> None:
    """Find out before the slow part whether an engine can be built and served."""
    if config.engine is None:
        return
    least = config.onnx.batch.minimum
    if config.triton_repository is not None and least > 1:
        raise ConfigError(
            f"Triton also sends single requests, but the engine would need at least {least}",
            "Give --batch-min 1, or leave the repository out.",
        )
    target = require_buildable(config.engine)
    if config.triton_repository is not None:
        require_served(target)


def _export_with_preprocessing(source: Source, out: Path, config: ExportConfig) -> ExportReport:
    require_suffix(out, ".onnx")
    with TemporaryDirectory() as scratch:
        report = source.as_onnx(Path(scratch), config)
        add_preprocessing(report.path, out, threads=config.threads)
    return report


def _export_engine(
    source: Source, out: Path, config: ExportConfig, engine: EngineConfig
) -> tuple[ExportReport, EngineReport, bool]:
    # The only form of INT8 that TensorRT takes; it has no effect on other precisions.
    config = dataclasses.replace(config, int8_form=Int8Form.TENSORRT)
    engine = dataclasses.replace(engine, batch=config.batch)
    require_suffix(out, ".engine")
    # Now and not when it is needed: a training may replace the file meanwhile.
    reference = source.open_reference(config.threads)
    with TemporaryDirectory() as scratch:
        report = source.as_onnx(Path(scratch), config)
        built = build_engine(report.path, Path(scratch) / out.name, engine)
        # The first GPU would run it, if it is one of those that the engine was built for.
        verified = built.sidecar.runs_on(query_driver())
        if verified:
            report = _verify_engine(reference, built, config, report)
        # Both are ready before either gets its name; the engine does so first.
        with atomic_path(sidecar_path(out)) as described, atomic_path(out) as temporary:
            shutil.copyfile(built.path, temporary)
            shutil.copyfile(sidecar_path(built.path), described)
    return report, dataclasses.replace(built, path=out), verified


def _verify_engine(
    reference: Runtime, built: EngineReport, config: ExportConfig, report: ExportReport
) -> ExportReport:
    """Compare the engine itself, and report how it agrees instead of the file it was built from."""
    from glamor_cli.runtimes.tensorrt import TensorRTRuntime

    runtime = TensorRTRuntime(built.path)
    images = config.verify or config.calibration_source
    pairs = None
    if images is not None:
        classes = runtime.metadata.classes
        pairs = load_pairs(images, config.verification_pairs, classes, threads=config.threads)
    tolerance = config.tolerance(runtime.arithmetic, report.precision)
    batches, agreement = verify_export(runtime, reference, config.batch, tolerance, pairs)
    return dataclasses.replace(report, batches=batches, agreement=agreement)
