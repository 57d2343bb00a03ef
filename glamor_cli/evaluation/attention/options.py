"""Options of measuring the attention. Free of NumPy, for the command line."""

from enum import StrEnum

from glamor_cli.network.config import CONTEXT_SIZE

PAIRS = 200
"""Drawn from a split, unless told otherwise."""
REGIONS = 5
"""Random squares hidden for each pair."""
STEPS = 8
"""Of the deletion and insertion curves."""
MOST_HIDINGS = CONTEXT_SIZE * CONTEXT_SIZE
"""Of either: the context has no more pixels."""


class Fill(StrEnum):
    """What hidden pixels are replaced by."""

    BLACK = "black"
    """Zero: what the network knows from the face's own place in the context."""
    MEAN = "mean"
    """The context's mean colour."""
    BLUR = "blur"
    """The context itself, blurred."""


class MapKind(StrEnum):
    """The maps that are measured, by the names that results have for them."""

    ATTENTION = "attention"
    GRAD_CAM = "grad_cam"

    @property
    def heading(self) -> str:
        """What tables and pictures call it."""
        return "Grad-CAM" if self is MapKind.GRAD_CAM else "attention"
