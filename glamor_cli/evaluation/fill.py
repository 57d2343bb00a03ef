"""What hidden parts of a context show; apart, so that the command line need not load NumPy."""

from enum import StrEnum


class Fill(StrEnum):
    """What hidden pixels are replaced by."""

    BLACK = "black"
    """Zero: what the network knows from the face's own place in the context."""
    MEAN = "mean"
    """The context's mean colour."""
    BLUR = "blur"
    """The context itself, blurred."""
