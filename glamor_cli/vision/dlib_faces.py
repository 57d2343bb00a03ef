"""dlib's CNN detector: the authors' boxes exactly, at seconds an image.

How they use it is in docs/official-program.md, Faces.
"""

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import (
    BackendUnavailable,
    DataError,
    is_lack_of_memory,
    no_memory_to,
    whole_reason_of,
)
from glamor_cli.system.extras import find_in_package, importing, install_extra
from glamor_cli.vision.faces import Faces, check_image
from glamor_cli.vision.options import MIN_SCORES, DetectorKind

MAX_PIXELS = 1920 * 1080
"""Pixels of the largest image; it takes about 4 GB of memory for each million (measured)."""

_UPSAMPLE = 1
_REMEDY = install_extra("dlib")
_REINSTALL = "Reinstall it: pip install --force-reinstall --no-deps face-recognition-models"


class DlibFaces:
    """The detectors ``dlib`` and ``dlib-corrected``; see ``faces.Detector``.

    The authors' program feeds BGR to a detector made for RGB, and uses dlib's inclusive right and
    bottom edges as exclusive ends. ``dlib`` keeps both, for other boxes would not be the authors'.
    """

    def __init__(self, *, corrected: bool = False) -> None:
        """Load the network.

        Args:
            corrected: Feed RGB, and make the edges exclusive.

        Raises:
            BackendUnavailable: dlib or the network's file is missing or does not load.
        """
        with importing("dlib", "the detector dlib is not installed", _REMEDY):
            import dlib
        path = find_network()
        try:
            self._network = dlib.cnn_face_detection_model_v1(str(path))
        except (RuntimeError, MemoryError) as error:
            if is_lack_of_memory(error):
                raise no_memory_to(f"open {path}") from error
            raise BackendUnavailable(
                f"dlib's network {path} cannot be opened ({whole_reason_of(error)})", _REINSTALL
            ) from error
        # A network of dlib's holds its layers' outputs, so that two threads may not share a run.
        self._lock = threading.Lock()
        self._corrected = corrected
        self.kind = DetectorKind.DLIB_CORRECTED if corrected else DetectorKind.DLIB
        self.min_score_predict = MIN_SCORES[self.kind]
        self.settings: dict[str, str | float | bool | int] = {
            "upsample": _UPSAMPLE,
            "corrected": corrected,
        }

    def detect(self, image: NDArray[np.uint8]) -> Faces:
        """Find the faces of one image, uint8 [H, W, 3], RGB.

        Raises:
            DataError: The image has another shape or type, more than ``MAX_PIXELS``, or dlib fails
                on it, for example for lack of memory.
        """
        check_image(image)
        height, width = image.shape[:2]
        if height * width > MAX_PIXELS:
            raise DataError(
                f"an image of {width}x{height} pixels is too large for dlib's detector",
                "Shrink it to full HD, or choose the detector centerface.",
            )
        pixels = image if self._corrected else image[..., ::-1]
        try:
            with self._lock:
                found = self._network(np.ascontiguousarray(pixels), _UPSAMPLE)
        except (RuntimeError, MemoryError) as error:
            raise DataError(
                f"dlib's detector fails at {width}x{height} pixels: {whole_reason_of(error)}",
                "Shrink the image, or choose the detector centerface.",
            ) from error
        boxes = np.array(
            [(d.rect.left(), d.rect.top(), d.rect.right(), d.rect.bottom()) for d in found],
            np.float32,
        ).reshape(-1, 4)
        boxes[:, 2:] += self._corrected
        return Faces.ordered(boxes, np.array([d.confidence for d in found], np.float32))


def find_network() -> Path:
    """Find the network's file without importing its package, which needs ``pkg_resources``.

    Raises:
        BackendUnavailable: The package is not installed or holds no such file.
    """
    path = find_in_package("face_recognition_models", "models/mmod_human_face_detector.dat")
    if path is None:
        raise BackendUnavailable(
            "the face detector of the package face-recognition-models is missing", _REMEDY
        )
    return path
