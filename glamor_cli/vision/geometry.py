"""How pairs are made of photographs. Free of NumPy, as weights' metadata names it."""

from enum import StrEnum


class Geometry(StrEnum):
    """How a pair's pixels are taken from a photograph."""

    SAMPLED = "sampled"
    """Sampled from the photograph's own pixels."""
    OFFICIAL_JPEG = "official-jpeg"
    """The context through the authors' JPEG step first."""

    @classmethod
    def of(cls, *, official_jpeg: bool) -> "Geometry":
        """Say which it is, with or without the authors' JPEG step."""
        return cls.OFFICIAL_JPEG if official_jpeg else cls.SAMPLED
