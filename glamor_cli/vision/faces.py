"""Where the faces are: what a detector answers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import DataError
from glamor_cli.vision.options import DetectorKind


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of one image, the most confident first.

    Attributes:
        boxes: float32 [n, 4]: x1, y1, x2, y2 in pixels of the image, x2 and y2 exclusive, in the
            authors' tight square framing. They may reach beyond the image.
        scores: float32 [n]; their scale is the detector's own.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    @staticmethod
    def ordered(boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> "Faces":
        """Sort boxes [n, 4] by their scores [n]; equals keep their order."""
        order = np.argsort(-scores, kind="stable")
        return Faces(
            np.ascontiguousarray(boxes[order], np.float32).reshape(-1, 4),
            np.ascontiguousarray(scores[order], np.float32),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def at_least(self, score: float) -> "Faces":
        """The faces whose score is at least ``score``."""
        keep = self.scores >= np.float32(score)
        return Faces(self.boxes[keep], self.scores[keep])


class Detector(Protocol):
    """Anything that finds faces; several threads may share one.

    Attributes:
        kind: Which detector it is.
        settings: What its boxes depend on, as a pair store records it.
        min_score_predict: Prediction keeps faces of at least this score. Extracting a data set
            instead keeps the best face of an image, even below it (docs/official-program.md,
            Faces): all that counts there is the detector's own bound, below which it reports none.
    """

    kind: DetectorKind
    settings: dict[str, str | float | bool | int]
    min_score_predict: float

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of one image, uint8 [H, W, 3], RGB.

        Raises:
            DataError: The image has another shape or type, or the detector fails on it, for
                example because it is too large or memory does not suffice.
            ConfigError: The process was forked since OpenVINO opened the detector.
        """


def is_image(image: object) -> bool:
    """Tell whether something is an image as ``read_image`` gives it: uint8 [H, W, 3]."""
    return (
        isinstance(image, np.ndarray)
        and image.dtype == np.uint8
        and image.ndim == 3
        and image.shape[2] == 3
        and image.size > 0
    )


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is not an image as ``read_image`` gives it.

    Raises:
        DataError: Not uint8 [H, W, 3], or without pixels.
    """
    if not isinstance(image, np.ndarray):
        raise DataError(
            f"the image is {type(image).__name__}, not a NumPy array",
            "Read images with glamor_cli.vision.images.read_image.",
        )
    if not is_image(image):
        raise DataError(
            f"the image is {image.dtype} {list(image.shape)}, not uint8 [H, W, 3]",
            "Read images with glamor_cli.vision.images.read_image.",
        )
