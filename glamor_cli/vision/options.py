"""What the command line asks of detectors, videos and cameras. Free of NumPy."""

import math
from dataclasses import dataclass
from enum import StrEnum

from glamor_cli.errors import ConfigError
from glamor_cli.settings import require_positive


class DetectorKind(StrEnum):
    """The detectors: CenterFace, fast and in the base; dlib's, slow, with the authors' boxes.

    The corrected one is dlib's without the authors' two mistakes (``dlib_faces``).
    """

    CENTERFACE = "centerface"
    DLIB = "dlib"
    DLIB_CORRECTED = "dlib-corrected"


class DetectorEngine(StrEnum):
    """What runs CenterFace; dlib's detectors have one of their own."""

    CPU = "cpu"
    """ONNX Runtime on the CPU."""
    CUDA = "cuda"
    """ONNX Runtime on an NVIDIA GPU, in float32 as on the CPU."""
    OPENVINO = "openvino"
    """OpenVINO, in bfloat16, where that is faster (on CPUs with AMX); elsewhere the CPU's."""


DEFAULT_DETECTOR = DetectorKind.CENTERFACE
"""Finds the faces, unless told otherwise."""
MIN_SCORES = {
    DetectorKind.CENTERFACE: 0.35,
    DetectorKind.DLIB: 0.6,
    DetectorKind.DLIB_CORRECTED: 0.6,
}
"""Prediction keeps faces of at least this score, unless told otherwise."""
DETECTOR_PACKAGES = {
    DetectorKind.CENTERFACE: "onnxruntime",
    DetectorKind.DLIB: "dlib",
    DetectorKind.DLIB_CORRECTED: "dlib",
}
"""Imported by this name, it decides the boxes by its version, which stores record."""
LONG_SIDE = 640
"""CenterFace shrinks an image to this long side, in pixels, unless told otherwise."""
MOST_AT_ONCE = 16
"""No more images are looked at at once; with more, Python itself would be what they wait for."""


SHORTEST = 1e-6
"""Seconds: times closer than this are the same."""


@dataclass(frozen=True)
class Sampling:
    """Which frames are looked at.

    Attributes:
        stride: Every N-th frame is, from the first on.
        every: The first frame is, and then the first in each interval of so many seconds; it takes
            the place of ``stride``.

    Raises:
        ConfigError: The stride or the time is out of bounds, or both are given.
    """

    stride: int = 1
    every: float | None = None

    def __post_init__(self) -> None:
        require_positive(self.stride, "the stride in frames", "--stride")
        if self.every is None:
            return
        if not SHORTEST <= self.every < math.inf:
            raise ConfigError(
                f"the time between frames must be at least {SHORTEST:g} seconds and finite, "
                f"not {self.every}",
                "Give --every a time, such as 0.5s.",
            )
        if self.stride != 1:
            raise ConfigError(
                "a stride and a time between frames are both given",
                "Give --stride or --every, not both.",
            )


EVERY_FRAME = Sampling()
"""The default."""


@dataclass(frozen=True)
class TrackingConfig:
    """How faces are followed; ``vision.tracks`` has the rule.

    Attributes:
        smoothing: Seconds of the exponential filter; 0 smooths nothing.
        min_overlap: Least intersection over union of a face with its track.
        growth: How far a box grows each way in a second, as a share of its side.
        lost_after: Seconds that a track may go unseen.
        lost_looks: Frames looked at that it may go unseen, if that is longer.

    Raises:
        ConfigError: ``smoothing`` is negative or not finite, ``min_overlap`` is not above 0 and at
            most 1, or another is negative.
    """

    smoothing: float = 0.5
    min_overlap: float = 0.3
    growth: float = 0.5
    lost_after: float = 1.0
    lost_looks: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < math.inf:
            raise ConfigError(
                f"the smoothing time must be 0 seconds or more and finite, not {self.smoothing}",
                "Give --smooth a time such as 0.5s, or 0 for none.",
            )
        if not 0 < self.min_overlap <= 1:
            raise ConfigError(
                f"min_overlap must be above 0 and at most 1, not {self.min_overlap}",
                f"Give it a share such as {TrackingConfig.min_overlap}.",
            )
        for name in ("growth", "lost_after", "lost_looks"):
            value = getattr(self, name)
            # So that NaN is refused too.
            if not value >= 0:
                raise ConfigError(f"{name} must be 0 or more, not {value}", "Give it 0 or more.")


TRACKING = TrackingConfig()
"""The default."""


@dataclass(frozen=True)
class WatchConfig:
    """How a camera is watched.

    Attributes:
        every: Look once in each interval of so many seconds; None looks as often as it can.
        tracking: How faces are followed and their emotions smoothed.
        patience: Seconds without a picture after which the camera counts as lost.
        retry: Seconds after which a camera that is lost, or ended, is opened again, for as long as
            it takes; None ends then.
        duration: Seconds after which to end; None goes on.

    Raises:
        ConfigError: A time is not above 0 and finite.
    """

    every: float | None = None
    tracking: TrackingConfig = TRACKING
    patience: float = 10.0
    retry: float | None = None
    duration: float | None = None

    def __post_init__(self) -> None:
        for option, value in (
            ("--every", self.every),
            ("--patience", self.patience),
            ("--retry", self.retry),
            ("--for", self.duration),
        ):
            if value is not None and not SHORTEST <= value < math.inf:
                raise ConfigError(
                    f"{option} must be a time above 0 and finite, not {value} seconds",
                    f"Give {option} a time, such as 5s.",
                )


WATCHING = WatchConfig()
"""The default."""
