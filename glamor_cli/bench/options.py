"""What can be measured, and what a measurement says. Free of torch, for the command line."""

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from glamor_cli.errors import ConfigError
from glamor_cli.runtimes.options import Device
from glamor_cli.settings import (
    require_positive,
    settle_choices,
    settle_lone,
    settle_paths,
    settle_several,
)
from glamor_cli.system.environment import Environment
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


class Target(StrEnum):
    """What is measured."""

    CORE = "core"
    """Attention, fusion and classifier, from the encoders' feature maps on."""
    NETWORK = "network"
    """The whole network, NumPy in and out, as a runtime gives it."""
    PIPELINE = "pipeline"
    """From image files to answers: decode, detect, sample, recognise."""
    DETECTOR = "detector"
    """Finding the faces in decoded images."""
    PREPROCESS = "preprocess"
    """From image files to pairs: decode, detect, sample."""
    TRAIN = "train"
    """One training step: forward, backward, update."""


class Backend(StrEnum):
    """Who computes."""

    EAGER = "eager"
    """Torch as the network is written; float32 eager is what the others are compared with."""
    COMPILE = "compile"
    """The same through ``torch.compile``."""
    CUDAGRAPH = "cudagraph"
    """The same recorded as a CUDA graph."""
    FUSED = "fused"
    """Glamor's own torch runtime: batch norms folded, channels last; on CUDA the core in one launch
    and CUDA graphs."""
    ORT = "ort"
    """ONNX Runtime on the CPU."""
    ORT_CUDA = "ort-cuda"
    """ONNX Runtime on CUDA."""
    OPENVINO = "openvino"
    """OpenVINO on the CPU."""
    TENSORRT = "tensorrt"
    """TensorRT: an engine given as an exported file, or built for the occasion."""


class Precision(StrEnum):
    """In what numbers."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


DEFAULT_BACKENDS = {
    "cpu": (Backend.EAGER, Backend.FUSED, Backend.ORT),
    # On two cores compiling takes longer than all the measuring; on a GPU it is the one to beat.
    "cuda": (
        Backend.EAGER,
        Backend.COMPILE,
        Backend.CUDAGRAPH,
        Backend.FUSED,
        Backend.ORT_CUDA,
    ),
}
DEFAULT_PRECISIONS = {"cpu": (Precision.FP32,), "cuda": (Precision.FP32, Precision.FP16)}
DEFAULT_COMPILE_MODES = {"cpu": "default", "cuda": "max-autotune"}
"""Each device's fastest mode of ``torch.compile``."""
DEFAULT_TARGETS = (Target.CORE, Target.NETWORK, Target.PIPELINE)
_OF_EXPORTS = (Target.NETWORK, Target.PIPELINE)
_OF_IMAGES = (Target.PIPELINE, Target.DETECTOR, Target.PREPROCESS)
_OF_NETWORKS = (Target.CORE, Target.NETWORK, Target.PIPELINE, Target.TRAIN)
_OF_BACKENDS = (*_OF_NETWORKS, Target.DETECTOR)
"""Targets that an option has an effect on."""


@dataclass(frozen=True)
class BenchConfig:
    """What to measure, and for how long.

    Attributes:
        targets: What.
        batches: Batch sizes: pairs, or images for the targets that begin with files.
        backends: Who computes; None takes what suits the device (``DEFAULT_BACKENDS``).
        precisions: In what numbers; None takes what suits the device. An exported file keeps its
            own, and OpenVINO chooses by the CPU.
        compile_mode: Of ``torch.compile``; None takes the device's fastest.
        weights: A name from ``weights/`` or a ``.safetensors`` file.
        exports: Further exported files of the same network, measured beside it.
        images: Photographs for the targets that begin with files; None takes one that comes with
            an installed package, at 712x400.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of every backend; None takes all cores this process may use. Torch has
            one number for the whole process, and keeps it afterwards.
        seconds: Time spent on each row, at least.
        iterations: Calls measured for each row, at least.
        warmup_seconds: Time spent on each row before.

    Raises:
        ConfigError: There is nothing to measure, a batch, a number or a time is out of bounds, or
            something is given that none of the targets uses.
    """

    targets: tuple[Target, ...] = DEFAULT_TARGETS
    batches: tuple[int, ...] = (1, 32)
    backends: tuple[Backend, ...] | None = None
    precisions: tuple[Precision, ...] | None = None
    compile_mode: str | None = None
    weights: str | Path = DEFAULT_WEIGHTS
    exports: tuple[Path, ...] = ()
    images: Path | None = None
    device: str = Device.AUTO
    threads: int | None = None
    seconds: float = 2.0
    iterations: int = 10
    warmup_seconds: float = 0.2

    def __post_init__(self) -> None:
        settle_several(self, targets=Target, backends=Backend, precisions=Precision)
        settle_choices(self, device=Device)
        settle_paths(self, "images")
        settle_lone(self, "exports")
        object.__setattr__(self, "exports", tuple(map(Path, self.exports)))
        if not self.targets or not self.batches or () in (self.backends, self.precisions):
            raise ConfigError(
                "there is nothing to measure", "Name a target, batch, backend and precision."
            )
        for option, given, targets in (
            ("--export", bool(self.exports), _OF_EXPORTS),
            ("--images", self.images is not None, _OF_IMAGES),
            ("--compile-mode", self.compile_mode is not None, _OF_NETWORKS),
            ("--precision", self.precisions is not None, _OF_NETWORKS),
            ("--backends", self.backends is not None, _OF_BACKENDS),
        ):
            if given and not set(targets) & set(self.targets):
                raise ConfigError(
                    f"{option} is only for the targets {', '.join(targets)}",
                    "Add one of them to --what, or leave it out.",
                )
        require_positive(min(self.batches), "the batch size", "--batch")
        require_positive(self.threads, "the number of threads", "--threads")
        require_positive(self.iterations, "the number of iterations", "--iterations")
        for what, seconds in (("measured", self.seconds), ("warm-up", self.warmup_seconds)):
            if not 0 <= seconds < math.inf:
                raise ConfigError(
                    f"the {what} time must be 0 seconds or more and finite, not {seconds}",
                    "Give --seconds 0 or more.",
                )


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: The target.
        backend: Who computed.
        provider: What truly ran it.
        precision: In what numbers.
        device: ``cpu`` or ``cuda``.
        batch: Pairs, or images, a call.
        threads: CPU threads.
        iterations: Calls measured.
        p50_ms: Median time of a call on the host's clock, until the answer is there, in
            milliseconds; None where it did not run.
        p90_ms: 90th percentile.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        images_per_second: From the median.
        device_p50_ms: Median time on the GPU's own clock, the inputs there already, without what
            the host takes to launch; None on a CPU.
        device_p90_ms: 90th percentile of it.
        floor_ms: The larger of the fewest bytes over the bandwidth measured from memory and the
            operations over the measured rate of a matrix product. What lies in a cache, and
            convolutions that save operations, can be faster. None where neither is counted.
        floor_bound: Which of the two: ``bytes`` or ``operations``.
        floor_ratio: Time over floor: of the GPU where it has its own, else of the host.
        max_abs_diff: Of any output, against float32 eager; None where nothing is compared.
        top1_agreement: Share of the batch with the same most probable emotion.
        status: ``ok``, or why it did not run; or why the GPU's clock alone was not read.
        export: The file, where it is one that was given to be measured.
    """

    what: Target
    backend: Backend
    provider: str
    precision: str
    device: str
    batch: int
    threads: int
    iterations: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    images_per_second: float | None = None
    device_p50_ms: float | None = None
    device_p90_ms: float | None = None
    floor_ms: float | None = None
    floor_bound: str | None = None
    floor_ratio: float | None = None
    max_abs_diff: float | None = None
    top1_agreement: float | None = None
    status: str = "ok"
    export: str | None = None

    def to_dict(self) -> dict[str, str | int | float | None]:
        """As it stands in JSON and CSV."""
        return asdict(self)


@dataclass(frozen=True)
class BenchResult:
    """All measurements, and where they were made."""

    environment: Environment
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give what ``glamor bench --json`` says: ``environment`` and ``rows``."""
        rows = [row.to_dict() for row in self.rows]
        return {"environment": self.environment.to_dict(), "rows": rows}
