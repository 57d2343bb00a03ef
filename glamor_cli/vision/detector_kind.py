"""Which detectors there are; apart, because the command line names them before NumPy is loaded."""

from enum import StrEnum


class DetectorKind(StrEnum):
    """The detectors: CenterFace, fast and at hand; dlib's, slow, with the authors' own boxes."""

    CENTERFACE = "centerface"
    DLIB = "dlib"
