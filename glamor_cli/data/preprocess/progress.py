"""What preprocessing tells of itself: how far it is, and what came of it."""

from dataclasses import dataclass

from glamor_cli.data.options import BoxSource


@dataclass(frozen=True)
class PreprocessProgress:
    """How far a run is.

    Attributes:
        total: Images of the data set.
        read: Those done, by earlier runs too.
        no_face: Of these, those without a face.
        failed: Of these, those that failed.
        images_per_second: Of this run so far.
    """

    total: int
    read: int
    no_face: int
    failed: int
    images_per_second: float


@dataclass(frozen=True)
class Failure:
    """An image that could not be used.

    Attributes:
        source: Its name in the data set.
        reason: Why.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class PreprocessReport:
    """What a finished store holds, and how fast this run was.

    Attributes:
        read: Images of the data set.
        stored: Pairs in the store.
        no_face: Images without a face.
        failed: Images that could not be used.
        boxes: Where the faces' boxes came from.
        resumed: Of the images, those that earlier runs had done.
        seconds: What this run took.
        images_per_second: Of this run.
        left_out: Pictures in class folders of kinds that are not read, by the ending of their
            names.
    """

    read: int
    stored: int
    no_face: int
    failed: tuple[Failure, ...]
    boxes: BoxSource
    resumed: int
    seconds: float
    images_per_second: float
    left_out: dict[str, int]
