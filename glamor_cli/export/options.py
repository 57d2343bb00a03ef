"""What can be asked of an export, and what it reports. Free of torch, for the command line."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.runtimes.options import Arithmetic, Device, Provider
from glamor_cli.settings import require_positive, settle_choices, settle_paths

DEFAULT_OPSET = 20
OPSETS = range(18, 24)
"""What torch's exporter writes and ONNX Runtime reads."""


class ExportPrecision(StrEnum):
    """In what numbers the exported network computes; inputs and outputs stay float32."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Int8Form(StrEnum):
    """The two forms of INT8, because neither engine takes the other's."""

    CPU = "cpu"
    """Unsigned activations with a zero point, which ONNX Runtime's CPU kernels are fast at."""
    TENSORRT = "tensorrt"
    """Signed and symmetric throughout, biases left alone: all that TensorRT accepts."""


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from the float32 network.

    Attributes:
        atol: Largest absolute difference of any output.
        top1: Least share of the verification images with the same most probable emotion.
        accuracy: Largest loss of accuracy on a store, from 0 to 1.
    """

    atol: float
    top1: float
    accuracy: float


TOLERANCES = {
    ExportPrecision.FP32: Tolerance(atol=1e-5, top1=0.999, accuracy=0.001),
    ExportPrecision.FP16: Tolerance(atol=5e-3, top1=0.995, accuracy=0.005),
    ExportPrecision.INT8: Tolerance(atol=0.25, top1=0.98, accuracy=0.005),
}
"""The default of each precision; ``ExportConfig.atol`` overrides the first figure."""

BFLOAT16_TOLERANCE = Tolerance(atol=5e-2, top1=0.99, accuracy=0.005)
"""The default where an engine computes a float graph in bfloat16, whose significand has 8 bits."""

HALF_SUMS_TOLERANCE = Tolerance(atol=2e-2, top1=0.99, accuracy=0.005)
"""FP16's default where an engine also adds up in half precision, as ONNX Runtime on ARM does."""


def default_tolerance(precision: ExportPrecision, arithmetic: Arithmetic) -> Tolerance:
    """Give the default of a precision, on an engine that computes so."""
    if arithmetic is Arithmetic.BFLOAT16 and precision is not ExportPrecision.INT8:
        return BFLOAT16_TOLERANCE
    if arithmetic is Arithmetic.HALF_SUMS and precision is ExportPrecision.FP16:
        return HALF_SUMS_TOLERANCE
    return TOLERANCES[precision]


MOST = 2**31 - 1
"""Pairs of a batch, and MiB of a workspace: servers and builders count in so many bits."""


@dataclass(frozen=True)
class BatchRange:
    """The batch sizes that an export is verified at and an engine is built for.

    Raises:
        ConfigError: Not 1 <= minimum <= optimum <= maximum, or more than ``MOST``.
    """

    minimum: int = 1
    optimum: int = 8
    maximum: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise ConfigError(
                f"the batch sizes {self.minimum}, {self.optimum} and {self.maximum} are not "
                "1 or more in ascending order",
                "Give 1 <= --batch-min <= --batch-opt <= --batch-max.",
            )
        if self.maximum > MOST:
            raise ConfigError(
                f"no engine takes a batch of {self.maximum}", f"Give --batch-max {MOST} or less."
            )

    @classmethod
    def within(cls, minimum: int, optimum: int | None, maximum: int) -> "BatchRange":
        """Make one whose usual batch need not be given: the default's, or the nearest within.

        Raises:
            ConfigError: As for the range itself.
        """
        if optimum is None:
            optimum = max(minimum, min(cls.optimum, maximum))
        return cls(minimum, optimum, maximum)


@dataclass(frozen=True)
class ExportConfig:
    """What to export.

    Attributes:
        precision: In what numbers the graph computes.
        opset: Version of ONNX's operators; INT8 takes 20 at most.
        batch: Batch sizes to verify at.
        verify: A pair store, or images or a folder of them, to compare answers on; None compares
            on random inputs alone.
        calibrate: The same, to measure INT8's ranges on; None takes ``verify``.
        calibration_pairs: How many pairs calibration reads at most.
        verification_pairs: How many pairs verification reads at most.
        atol: Largest absolute difference allowed; None takes the precision's
            (``default_tolerance``).
        half_storage: Keep the weights in float16 and compute in float32 (FP32 only): half the
            file. Exact where the weights themselves are stored in float16; others are rounded,
            which FP32's tolerance will hardly allow.
        device: What the ONNX file is verified on; ``auto`` is the provider's device, and without
            one the CPU. TensorRT's INT8 is always verified on the CPU, as the graph says.
        threads: CPU threads for verification; None takes all cores. Torch, which is compared with,
            has one number for the whole process, and keeps it afterwards.
        provider: What verifies the ONNX file; None takes ONNX Runtime on ``device``.
        int8_form: For which engine INT8 is made.

    Raises:
        ConfigError: Settings that do not go together.
    """

    precision: ExportPrecision = ExportPrecision.FP32
    opset: int = DEFAULT_OPSET
    batch: BatchRange = BatchRange()
    verify: Path | None = None
    calibrate: Path | None = None
    calibration_pairs: int = 256
    verification_pairs: int = 2000
    atol: float | None = None
    half_storage: bool = False
    device: str = Device.AUTO
    threads: int | None = None
    provider: str | None = None
    int8_form: Int8Form = Int8Form.CPU

    def __post_init__(self) -> None:
        settle_paths(self, "verify", "calibrate")
        require_positive(self.calibration_pairs, "the pairs to calibrate on", "calibration_pairs")
        require_positive(self.verification_pairs, "the pairs to verify on", "verification_pairs")
        require_positive(self.threads, "the number of threads", "--threads")
        settle_choices(
            self,
            precision=ExportPrecision,
            device=Device,
            provider=Provider,
            int8_form=Int8Form,
        )
        if self.opset not in OPSETS:
            raise ConfigError(
                f"opset {self.opset} cannot be exported",
                f"Choose --opset from {OPSETS.start} to {OPSETS.stop - 1}.",
            )
        if self.precision is ExportPrecision.INT8:
            if self.opset > DEFAULT_OPSET:
                raise ConfigError(
                    f"INT8 cannot be made from opset {self.opset}",
                    f"Choose --opset {DEFAULT_OPSET} or lower.",
                )
            if self.calibration_source is None:
                raise ConfigError(
                    "INT8 needs images to measure its ranges on",
                    "Give --calibrate or --verify with a pair store or a folder of images.",
                )
        if self.half_storage and self.precision is not ExportPrecision.FP32:
            raise ConfigError(
                f"half storage is for fp32 only, not for {self.precision}",
                "Choose --precision fp32, or leave --half-storage out.",
            )
        if self.atol is not None and not self.atol > 0:
            raise ConfigError(
                f"the tolerance must be above 0, not {self.atol}", "Give --atol above 0."
            )

    @property
    def calibration_source(self) -> Path | None:
        """Where INT8's calibration images come from."""
        return self.calibrate or self.verify

    def tolerance(
        self,
        arithmetic: Arithmetic = Arithmetic.AS_WRITTEN,
        precision: ExportPrecision | None = None,
    ) -> Tolerance:
        """Give the default on such an engine, with ``atol`` in place where it is given.

        Args:
            arithmetic: How the engine computes.
            precision: Of a file that was exported before; None is the one that is exported in.
        """
        default = default_tolerance(precision or self.precision, arithmetic)
        return Tolerance(self.atol or default.atol, default.top1, default.accuracy)


def require_suffix(out: Path, suffix: str) -> None:
    """Refuse a name for a file to write that ends otherwise.

    Raises:
        ConfigError: It does.
    """
    if out.suffix != suffix:
        # An engine is asked for by its ending alone, now and then.
        other = ", or --trt to build an engine" if out.suffix == ".engine" else ""
        raise ConfigError(
            f"{out} does not end in {suffix}", f"Give --output a name ending in {suffix}{other}."
        )


@dataclass(frozen=True)
class BatchCheck:
    """How far the export is from the float32 network at one batch size.

    Attributes:
        batch: Pairs at once.
        max_abs_diff: Over all outputs.
    """

    batch: int
    max_abs_diff: float


@dataclass(frozen=True)
class Agreement:
    """How far the export is from the float32 network on real pairs.

    Attributes:
        pairs: How many were compared.
        max_abs_diff: Over all outputs.
        top1: Share with the same most probable emotion, from 0 to 1.
        accuracy: Of the export, from 0 to 1; None without labels.
        reference_accuracy: Of the float32 network.
    """

    pairs: int
    max_abs_diff: float
    top1: float
    accuracy: float | None
    reference_accuracy: float | None


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it was found to agree.

    Attributes:
        path: The finished file.
        precision: In what numbers it computes.
        opset: Version of ONNX's operators.
        bytes: Size of the file.
        atol: The difference that was allowed.
        batches: The check at each batch size.
        agreement: The check on real pairs; None if none were given.
        seconds: Time that all of it took; 0 where it was exported before.
    """

    path: Path
    precision: ExportPrecision
    opset: int
    bytes: int
    atol: float
    batches: tuple[BatchCheck, ...]
    agreement: Agreement | None
    seconds: float
