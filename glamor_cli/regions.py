"""Square regions of the context crop, found by how much attention they hold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.network.config import CONTEXT_SIZE
from glamor_cli.overlay import upsample_attention

REGION = 32
"""Side of a region that is hidden, in pixels of the 112x112 context: two cells of a 7x7 map."""
_STEP = 8


@dataclass(frozen=True)
class Region:
    """A square of the context crop, in its pixels; x2 and y2 are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int


def squares(attention: NDArray[np.float32], side: int = REGION) -> tuple[Region, Region]:
    """Find the squares of the context that hold the most and the least attention.

    Args:
        attention: float32 [h, w].
        side: Of the squares, in pixels.
    """
    values = upsample_attention(attention, CONTEXT_SIZE, CONTEXT_SIZE)
    sums = np.pad(values.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))
    corners = np.unique(np.append(np.arange(0, CONTEXT_SIZE - side, _STEP), CONTEXT_SIZE - side))
    ends = corners + side
    mass = (
        sums[np.ix_(ends, ends)]
        - sums[np.ix_(corners, ends)]
        - sums[np.ix_(ends, corners)]
        + sums[np.ix_(corners, corners)]
    )

    def region(index: np.intp) -> Region:
        row, column = np.unravel_index(index, mass.shape)
        x, y = int(corners[column]), int(corners[row])
        return Region(x, y, x + side, y + side)

    return region(mass.argmax()), region(mass.argmin())


def region_mask(region: Region) -> NDArray[np.bool_]:
    """Mark a region's pixels: bool [112, 112]."""
    mask = np.zeros((CONTEXT_SIZE, CONTEXT_SIZE), np.bool_)
    mask[region.y1 : region.y2, region.x1 : region.x2] = True
    return mask
