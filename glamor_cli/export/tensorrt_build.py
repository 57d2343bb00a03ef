"""An ONNX file to a TensorRT engine and the sidecar that describes it."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glamor_cli.errors import BackendUnavailable, ConfigError, ExportError
from glamor_cli.export.options import MOST, BatchRange, ExportPrecision, require_suffix
from glamor_cli.files.atomic import atomic_path
from glamor_cli.files.reading import sha256
from glamor_cli.files.utf8_paths import utf8_path
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES
from glamor_cli.runtimes.sidecar import Sidecar, sidecar_path, this_platform
from glamor_cli.runtimes.tensorrt_library import (
    TURING,
    Target,
    generations,
    load_library,
    make_logger,
)
from glamor_cli.settings import require_positive, settle_choices, settle_paths
from glamor_cli.system.gpus import query_driver


@dataclass(frozen=True)
class EngineConfig:
    """How to build an engine.

    Attributes:
        target: The flavour of TensorRT; None takes what is installed, TensorRT first.
        batch: The profile: smallest, usual and largest batch.
        workspace: Memory that the engine may work in, in MiB; None leaves it to TensorRT.
        timing_cache: A file that keeps TensorRT's measurements for the next build; read where it
            exists, then written. TensorRT-RTX has none.
        generations: GPU generations for TensorRT-RTX, as ``SM89``; none means all from SM80 on.
            TensorRT builds for the GPU it runs on.

    Raises:
        ConfigError: No such target, or a workspace that is not positive or more than ``MOST``.
    """

    target: Target | None = None
    batch: BatchRange = field(default_factory=BatchRange)
    workspace: int | None = None
    timing_cache: Path | None = None
    generations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        settle_paths(self, "timing_cache")
        settle_choices(self, target=Target)
        require_positive(self.workspace, "the workspace in MiB", "--workspace")
        if self.workspace is not None and self.workspace > MOST:
            raise ConfigError(
                f"no GPU has a workspace of {self.workspace} MiB",
                f"Give --workspace {MOST} or less.",
            )


@dataclass(frozen=True)
class EngineReport:
    """What was built.

    Attributes:
        path: The engine; its sidecar lies beside it.
        sidecar: What the sidecar says.
        seconds: Time that building took.
    """

    path: Path
    sidecar: Sidecar
    seconds: float


def build_engine(source: Path, out: Path, config: EngineConfig | None = None) -> EngineReport:
    """Build an engine, strongly typed: it computes in the types that the graph has.

    Args:
        source: An ``.onnx`` file from ``glamor export``.
        out: The ``.engine`` file. If building fails, nothing is left, and an older engine stays.
        config: How to build.

    Raises:
        ConfigError: ``out`` does not end in ``.engine``, its folder cannot be written to, or the
            target cannot do what is asked.
        CheckpointError: The file is damaged, or not a network that glamor exported.
        ExportError: TensorRT refuses it; with its reason.
        BackendUnavailable: TensorRT, or the GPU it needs, is not here.
    """
    config = config or EngineConfig()
    require_suffix(out, ".engine")
    exported = read_exported(source)
    exported.require_network()
    target, trt = load_library(config.target)
    build = _Build(trt, target, config)
    started = time.perf_counter()
    serialized, precision = build.run(source)
    if exported.precision and precision != exported.precision:
        raise ExportError(
            f"the engine computes in {precision}, "
            f"but {source} was exported as {exported.precision}",
            "Export the ONNX file again, or try another version of TensorRT.",
        )
    # Both are ready before either gets its name, the engine first: one beside an older sidecar is
    # noticed by its checksum.
    with atomic_path(sidecar_path(out)) as described, atomic_path(out) as temporary:
        temporary.write_bytes(serialized)
        sidecar = Sidecar(
            target=target,
            version=trt.__version__,
            platform=this_platform(),
            architectures=build.architectures,
            gpu=build.gpu,
            precision=precision,
            batch_min=config.batch.minimum,
            batch_opt=config.batch.optimum,
            batch_max=config.batch.maximum,
            sha256=sha256(temporary),
            metadata=exported.metadata,
        )
        sidecar.write(described)
    return EngineReport(out, sidecar, time.perf_counter() - started)


def require_buildable(config: EngineConfig) -> Target:
    """Find out, before anything slow, whether such an engine can be built here.

    Returns:
        The flavour that would build it.

    Raises:
        ConfigError: The target cannot do what is asked.
        BackendUnavailable: TensorRT, or the GPU it needs, is not here.
    """
    target, trt = load_library(config.target)
    _Build(trt, target, config)
    return target


class _Build:
    """One build; every step's answer is checked, and the logger gives the reason."""

    def __init__(self, trt: Any, target: Target, config: EngineConfig) -> None:
        self._trt, self._target, self._config = trt, target, config
        self._logger = make_logger(trt)
        self.gpu = ""
        if target is Target.RTX:
            self.architectures = self._choose_generations()
            if config.timing_cache is not None:
                raise ConfigError(
                    "TensorRT-RTX has no timing cache", "Leave --timing-cache out, or --target trt."
                )
            return
        if config.generations:
            raise ConfigError(
                "TensorRT builds only for the GPU it runs on",
                "Choose --target rtx to build for other GPUs.",
            )
        driver = query_driver()
        if not driver.gpus:
            raise BackendUnavailable(
                f"TensorRT cannot build without a GPU: {driver.problem}",
                "Build on the machine that will run the engine, or choose --target rtx.",
            )
        self.gpu, self.architectures = driver.gpus[0].name, (driver.gpus[0].architecture,)

    def run(self, source: Path) -> tuple[bytes, str]:
        """Build, and tell the engine's bytes and what it computes in."""
        trt = self._trt
        try:
            builder = trt.Builder(self._logger)
        except TypeError as error:  # how the bindings say that the factory gave nothing
            raise BackendUnavailable(
                f"TensorRT's builder does not start: {self._logger.problems()}",
                "Check the driver with glamor doctor.",
            ) from error
        network = self._parse(builder, source)
        self._check_interface(network)
        options = self._made(builder.create_builder_config(), "a configuration")
        # TF32, on by default, would move the answers by 1e-3.
        options.clear_flag(trt.BuilderFlag.TF32)
        if self._config.workspace is not None:
            options.set_memory_pool_limit(
                trt.MemoryPoolType.WORKSPACE, self._config.workspace << 20
            )
        self._add_profile(builder, network, options)
        if self._target is Target.RTX:
            self._set_generations(options)
        cache = self._load_timing_cache(options)
        serialized = builder.build_serialized_network(network, options)
        if serialized is None:
            raise self._refused("cannot build the engine")
        if cache is not None and self._config.timing_cache is not None:
            learnt = self._made(options.get_timing_cache(), "a timing cache").serialize()
            with atomic_path(self._config.timing_cache) as temporary:
                temporary.write_bytes(bytes(self._made(learnt, "a timing cache")))
        return bytes(serialized), self._precision(network)

    def _parse(self, builder: Any, source: Path) -> Any:
        trt = self._trt
        # Removed flags are no longer names of the enum; this one is ignored where it is implied.
        flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = self._made(builder.create_network(flag), "a network")
        parser = trt.OnnxParser(network, self._logger)
        with utf8_path(source) as readable:
            is_read = parser.parse_from_file(str(readable))
        if not is_read:
            reasons = [str(parser.get_error(index)) for index in range(parser.num_errors)]
            raise self._refused(f"cannot read {source}", "; ".join(reasons))
        return network

    def _check_interface(self, network: Any) -> None:
        """Check what was parsed: names, types, and that the batch alone is dynamic."""
        inputs = [network.get_input(index) for index in range(network.num_inputs)]
        outputs = [network.get_output(index) for index in range(network.num_outputs)]
        names = [tensor.name for tensor in (*inputs, *outputs)]
        if sorted(names) != sorted((*INPUT_NAMES, *OUTPUT_NAMES)):
            raise self._refused(f"reads the inputs and outputs {', '.join(names)}", "not ours")
        for tensor in (*inputs, *outputs):
            shape = tuple(tensor.shape)
            if tensor.dtype != self._trt.float32 or shape[0] != -1 or min(shape[1:]) < 1:
                raise self._refused(f"reads {tensor.name} as {tensor.dtype} {shape}", "not ours")

    def _add_profile(self, builder: Any, network: Any, options: Any) -> None:
        batch = self._config.batch
        profile = self._made(builder.create_optimization_profile(), "a profile")
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            rest = tuple(tensor.shape)[1:]
            sizes = [(size, *rest) for size in (batch.minimum, batch.optimum, batch.maximum)]
            profile.set_shape(tensor.name, *sizes)
            # A shape that is refused is left out without an error.
            if [tuple(shape) for shape in profile.get_shape(tensor.name)] != sizes:
                raise self._refused(f"refuses the profile {batch} for {tensor.name}")
        # A bad profile is only falsy; adding it gives -1.
        if not profile or options.add_optimization_profile(profile) < 0:
            raise self._refused(f"refuses the profile {batch}")

    def _choose_generations(self) -> tuple[str, ...]:
        known = generations(self._trt)
        if not self._config.generations:
            # Turing has no float32 matrix products, so it must be asked for.
            return tuple(name for name in known if name != TURING)
        unknown = sorted(set(self._config.generations) - set(known))
        if unknown:
            raise ConfigError(
                f"TensorRT-RTX does not build for {', '.join(unknown)}",
                f"Choose from {', '.join(known)}; other GPUs need --target trt.",
            )
        return tuple(name for name in known if name in self._config.generations)

    def _set_generations(self, options: Any) -> None:
        options.num_compute_capabilities = len(self.architectures)
        for index, name in enumerate(self.architectures):
            capability = getattr(self._trt.ComputeCapability, name)
            if (
                not options.set_compute_capability(capability, index)
                or options.get_compute_capability(index) != capability
            ):
                raise self._refused(f"refuses to build for {name}")

    def _load_timing_cache(self, options: Any) -> Any:
        path = self._config.timing_cache
        if path is None:
            return None
        try:
            known = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise ConfigError(
                f"cannot read the timing cache {path}: {error.strerror}", "Choose another file."
            ) from error
        cache = options.create_timing_cache(known)
        if cache is None or not options.set_timing_cache(cache, ignore_mismatch=False):
            raise ConfigError(
                f"{path} is not a timing cache of this TensorRT and GPU",
                "Delete it, or choose another file.",
            )
        return cache

    def _precision(self, network: Any) -> str:
        """What the convolutions compute in: strongly typed, an engine follows its graph."""
        trt = self._trt
        layers = [network.get_layer(index) for index in range(network.num_layers)]
        if any(layer.type == trt.LayerType.QUANTIZE for layer in layers):
            return ExportPrecision.INT8
        kinds = {
            layer.get_input(0).dtype for layer in layers if layer.type == trt.LayerType.CONVOLUTION
        }
        names = {trt.float32: ExportPrecision.FP32, trt.float16: ExportPrecision.FP16}
        if len(kinds) != 1 or not kinds <= set(names):
            raise ExportError(
                f"the graph's convolutions compute in {', '.join(map(str, kinds)) or 'nothing'}",
                "Give an .onnx file from glamor export.",
            )
        return names[kinds.pop()]

    def _made(self, thing: Any, what: str) -> Any:
        """Pass on what a factory made; TensorRT's give None where they fail."""
        if thing is None:
            raise self._refused(f"cannot make {what}")
        return thing

    def _refused(self, what: str, reason: str = "") -> ExportError:
        reason = reason or self._logger.problems()
        remedy = "Try another precision, or another version of TensorRT."
        if "Turing" in reason:
            remedy = f"Choose --precision fp16 for {TURING}, or leave {TURING} out."
        return ExportError(f"{self._trt.__name__} {self._trt.__version__} {what}: {reason}", remedy)
