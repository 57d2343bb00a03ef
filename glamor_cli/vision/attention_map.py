"""Where attention lies, in pixels: in the image, in the context crop, and in squares of it.

The attention map covers the 112x112 crop of the 128x171 sampling of the whole image, so it lies
over a known rectangle of the image and nowhere else.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.network.config import CONTEXT_SIZE, FEATURE_MAPS
from glamor_cli.vision.pairs import CONTEXT_SHAPE, EVALUATION_COLUMNS, EVALUATION_ROWS

REGION = 32
"""Side of a region that is hidden, in pixels of the 112x112 context: two cells of a 7x7 map."""
_STEP = 8
"""Pixels from one square that is tried to the next: half a cell of a 7x7 map."""


@dataclass(frozen=True)
class Region:
    """A square of the context crop, in its pixels; x2 and y2 are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int


def attention_region(height: int, width: int) -> tuple[float, float, float, float]:
    """Find the part of an image that the context crop shows.

    Returns:
        x1, y1, x2, y2 in pixels of the image, continuous (pixel i covers i to i + 1).
    """
    rows, columns = CONTEXT_SHAPE
    return (
        EVALUATION_COLUMNS.start * width / columns,
        EVALUATION_ROWS.start * height / rows,
        EVALUATION_COLUMNS.stop * width / columns,
        EVALUATION_ROWS.stop * height / rows,
    )


def has_peak(attention: NDArray[np.float32]) -> bool:
    """Say whether a map, float32 [h, w], prefers a place; an even or absent one shows nothing."""
    return bool(np.ptp(attention) > 0)


def note_of(attention: NDArray[np.float32]) -> str:
    """Say of a map, float32 [h, w], why it points nowhere; empty where it points somewhere."""
    if has_peak(attention):
        return ""
    return "the context is looked at evenly" if attention.any() else "the context is not looked at"


def upsample_attention(
    attention: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Bring an attention map smoothly to the size of a picture of the context crop, to be seen.

    Smooth means bicubic, which sinks below the ground around a peak: `interpolate_attention` keeps
    the order of the places.

    A map that is nearly even, as barely trained networks give, has a peak that means little: unless
    the peak has twice its even share, the whole map is faded, to nothing where it is even.

    Args:
        attention: float32 [h, w], in row-major cells.
        height: Rows of the result, for the crop's 112.
        width: Columns of the result, for the crop's 112.

    Returns:
        float32 [height, width], 0 where nothing was looked at, 1 at the peak of a map that is not
        faded.
    """
    smooth = _resize(attention, height, width, Image.Resampling.BICUBIC)
    values: NDArray[np.float32] = np.maximum(smooth, 0)
    peak = float(values.max())
    if peak > 0:
        strength = min(1.0, float(attention.max()) / float(attention.mean()) - 1)
        values *= np.float32(strength / peak)
    return values


def interpolate_attention(attention: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say of each pixel of the context crop what it weighs, between its cells' own values.

    Args:
        attention: float32 [h, w], in row-major cells.

    Returns:
        float32 [112, 112], interpolated bilinearly, nowhere beyond the map's own values.
    """
    return _resize(attention, CONTEXT_SIZE, CONTEXT_SIZE, Image.Resampling.BILINEAR)


def _resize(
    attention: NDArray[np.float32], height: int, width: int, kind: Image.Resampling
) -> NDArray[np.float32]:
    top, bottom = cell_range(attention.shape[0])
    left, right = cell_range(attention.shape[1])
    image = Image.fromarray(np.ascontiguousarray(attention, np.float32))
    return np.asarray(image.resize((width, height), kind, box=(left, top, right, bottom)))


def cell_range(cells: int) -> tuple[float, float]:
    """Say where the crop begins and ends, counted in cells of the attention map.

    The original network's cells divide the crop evenly (pooling by 2 four times). ResNet's
    padded stride-2 convolutions put the centre of cell i at pixel 32i, half a cell earlier.

    Args:
        cells: Rows or columns of the attention map.
    """
    for found in FEATURE_MAPS.values():
        if found.size == cells and not found.is_even:
            first = (found.stride / 2 - 0.5) / found.stride
            return first, first + CONTEXT_SIZE / found.stride
    return 0.0, float(cells)


def extreme_squares(attention: NDArray[np.float32], side: int = REGION) -> tuple[Region, Region]:
    """Find the squares of the context that hold the most and the least attention.

    Args:
        attention: float32 [h, w].
        side: Of the squares, in pixels.
    """
    values = interpolate_attention(attention)
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
