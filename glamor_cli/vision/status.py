"""What became of an image: a column of predictions and of a store's index alike."""

from enum import StrEnum


class Status(StrEnum):
    """What became of an image or a face."""

    OK = "ok"
    """A face was found."""
    NO_FACE = "no_face"
    """The image was read, and no face was found in it."""
    ERROR = "error"
    """The source could not be read; the row's ``reason`` says why."""
