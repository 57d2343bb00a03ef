"""What the command line asks of pairs and data sets. Free of NumPy."""

from dataclasses import dataclass
from enum import StrEnum

from glamor_cli.errors import ConfigError
from glamor_cli.settings import choose, require_seed, settle_choices
from glamor_cli.vision.options import DEFAULT_DETECTOR, DetectorKind


class BoxSource(StrEnum):
    """Where the faces' boxes come from."""

    AUTO = "auto"
    """The data set's own boxes, be it box files or a manifest's columns; without any, a
    detector."""
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

    Raises:
        ConfigError: There is no such source of boxes or detector.
    """

    boxes: BoxSource = BoxSource.AUTO
    detector: DetectorKind = DEFAULT_DETECTOR
    official_jpeg: bool = False
    skip_no_face: bool = False

    def __post_init__(self) -> None:
        # Not settle_choices, whose message would name the field: "there is no boxes".
        object.__setattr__(self, "boxes", choose(BoxSource, self.boxes, "source of boxes"))
        settle_choices(self, detector=DetectorKind)


VOTES_SHARE = 0.5
"""Share of FER+'s votes in a soft label, unless told otherwise."""

MAX_CUES = 3
"""Discs in a scene, at most: one of each kind."""
MAX_SCALE = 24
"""Of a scene; it makes 4104x3072 pixels."""


@dataclass(frozen=True)
class SceneConfig:
    """How many scenes, and which.

    Attributes:
        train: Scenes in the split ``train``.
        validation: Scenes in the split ``validation``.
        test: Scenes in the split ``test``.
        seed: Scene i of a split depends on this, the split and i alone, so more scenes never
            change the first ones.
        scale: An image is 171 * scale wide and 128 * scale high.
        cues: Discs in a scene, 2 or 3; with two no ring is gray. Among three it is harder to
            learn to choose, and takes longer.

    Raises:
        ConfigError: A count is negative, there are no scenes, or the seed, the scale or the number
            of discs is out of bounds.
    """

    train: int = 6000
    validation: int = 500
    test: int = 1000
    seed: int = 0
    scale: int = 2
    cues: int = 2

    def __post_init__(self) -> None:
        for split, count in self.counts.items():
            if count < 0:
                raise ConfigError(
                    f"the number of {split} scenes must be 0 or more, not {count}",
                    "Give 0 or more.",
                )
        if not any(self.counts.values()):
            raise ConfigError("there are no scenes to make", "Ask for at least one scene.")
        require_seed(self.seed)
        if not 2 <= self.cues <= MAX_CUES:
            raise ConfigError(
                f"the number of discs in a scene must be 2 to {MAX_CUES}, not {self.cues}",
                f"Give --cues 2 to {MAX_CUES}.",
            )
        if not 1 <= self.scale <= MAX_SCALE:
            raise ConfigError(
                f"the scale must be 1 to {MAX_SCALE}, not {self.scale}",
                f"Give --scale 1 to {MAX_SCALE}; 2 makes 342x256.",
            )

    @property
    def counts(self) -> dict[str, int]:
        """Scenes by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}
