"""How pairs are made: the options alone, which cost nothing to import."""

from dataclasses import dataclass
from enum import StrEnum

from glamor_cli.vision.detector_kind import DEFAULT_DETECTOR, DetectorKind


class BoxSource(StrEnum):
    """Where the faces' boxes come from."""

    DETECT = "detect"
    """The single most confident of the faces that the detector reports."""
    CROP_FILES = "crop-files"
    """The authors' box files."""
    MANIFEST = "manifest"
    """The manifest's columns x1,y1,x2,y2."""
    WHOLE = "whole"
    """The whole image is the face; the context is then all zero."""


@dataclass(frozen=True)
class PairMaking:
    """How pairs are made.

    Attributes:
        boxes: Where the boxes come from.
        detector: Which detector finds them, where they are detected.
        official_jpeg: Pass contexts through the authors' JPEG step.
        skip_no_face: Leave images without a face out of the arrays.
    """

    boxes: BoxSource = BoxSource.DETECT
    detector: DetectorKind = DEFAULT_DETECTOR
    official_jpeg: bool = False
    skip_no_face: bool = False
