"""Which detectors there are; apart, because the command line names them before NumPy is loaded."""

from enum import StrEnum


class DetectorKind(StrEnum):
    """The detectors: CenterFace, fast and in the base; dlib's, slow, with the authors' boxes."""

    CENTERFACE = "centerface"
    DLIB = "dlib"


DEFAULT_DETECTOR = DetectorKind.CENTERFACE
"""Finds the faces, unless told otherwise."""
MIN_SCORES = {DetectorKind.CENTERFACE: 0.35, DetectorKind.DLIB: 0.6}
"""Prediction keeps faces of at least this score, unless told otherwise."""
LONG_SIDE = 640
"""CenterFace shrinks an image to this long side, in pixels, unless told otherwise."""
