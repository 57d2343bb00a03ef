"""Attention measured against a known place: does the face look where the answer is?

Scenes record where the deciding cue is (`glamor_cli.data.scenes.cues`). This maps it to the cells
of the attention map and counts.

From an image's pixel to a cell. Pixel i covers [i, i + 1), so a box x1..x2 covers [x1, x2).

1. Sampling to 128x171 with half-pixel centres (docs/official-program.md, Pairs, 4) maps
   coordinates linearly: x' = x * 171 / width, y' = y * 128 / height.
2. The evaluation's crop takes rows 8:120 and columns 29:141: x'' = x' - 29, y'' = y' - 8.
3. The original network's map of 7 x 7 divides the 112x112 crop evenly; the cell in row r and
   column c covers rows [16 r, 16 (r + 1)) and columns [16 c, 16 (c + 1)). ResNet-18's 4 x 4 cells
   of 32 pixels begin half a cell earlier (`glamor_cli.vision.attention_map.cell_range`).

A cell's receptive field is larger than the cell, and a cue of about a cell's size mostly lies in
several. Hence three measures, from lenient to strict about neighbours (`AttentionMeasures`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.scenes.cues import Cue
from glamor_cli.errors import DataError
from glamor_cli.vision.attention_map import cell_range
from glamor_cli.vision.pairs import (
    CONTEXT_CROP,
    CONTEXT_SHAPE,
    EVALUATION_COLUMNS,
    EVALUATION_ROWS,
    Box,
)


@dataclass(frozen=True)
class AttentionMeasures:
    """How well attention maps agree with the deciding cues; shares are from 0 to 1.

    Attributes:
        count: Maps measured.
        near_cue: Share of the maps whose peak is at most one cell (also diagonally) away from the
            cell that holds the cue's centre.
        pointing_game: Share of the maps whose peak's cell touches the cue.
        mass: Attention in the cells that touch the cue, averaged over the maps.
        on_decoy: Share of the maps whose peak's cell touches another cue instead.
        mass_by_chance: What ``mass`` would be if attention were uniform.
    """

    count: int
    near_cue: float
    pointing_game: float
    mass: float
    on_decoy: float
    mass_by_chance: float


def measure_attention(
    attention: NDArray[np.float32], cues: Sequence[Cue], *, chosen: NDArray[np.bool_] | None = None
) -> AttentionMeasures:
    """Measure attention maps against the cues of their scenes.

    A map that is even, or all zero, has no peak and hits nothing.

    Args:
        attention: float32 [N, h, w], over the evaluation's crop; each sums to 1 or is all zero.
        cues: The scene of each map (see `glamor_cli.evaluation.attention.cues`).
        chosen: bool [N]: the maps to measure, say those of correct answers; None takes all.

    Raises:
        DataError: There are not as many cues as maps, or nothing is chosen.
    """
    if attention.ndim != 3 or len(attention) != len(cues):
        raise DataError(
            f"attention of shape {list(attention.shape)} does not fit {len(cues)} cues",
            "Give one map [h, w] for each cue.",
        )
    if chosen is not None:
        attention = attention[chosen]
        cues = [cue for cue, wanted in zip(cues, chosen, strict=True) if wanted]
    if not len(attention):
        raise DataError("there is no attention map to measure", "Choose at least one scene.")
    grid = (attention.shape[1], attention.shape[2])
    count = len(cues)
    peaks = attention.reshape(count, -1).argmax(axis=1)
    has_peak = np.ptp(attention, axis=(1, 2)) > 0
    peak_rows, peak_columns = np.divmod(peaks, grid[1])

    centres = np.array([centre_cell(cue.box, cue.width, cue.height, grid) for cue in cues])
    away = np.maximum(
        np.abs(peak_rows - centres[:, 0]), np.abs(peak_columns - centres[:, 1])
    )  # (N,)
    on_cue = np.stack([touched_cells(cue.box, cue.width, cue.height, grid) for cue in cues])
    on_decoys = np.stack(
        [
            np.logical_or.reduce(
                [
                    np.zeros(grid, np.bool_),  # a scene may have no decoys
                    *(touched_cells(box, cue.width, cue.height, grid) for box in cue.decoys),
                ]
            )
            for cue in cues
        ]
    )
    each = np.arange(count)
    hits = has_peak & on_cue[each, peak_rows, peak_columns]
    decoy_hits = has_peak & on_decoys[each, peak_rows, peak_columns] & ~hits
    return AttentionMeasures(
        count=count,
        near_cue=float((has_peak & (away <= 1)).mean()),
        pointing_game=float(hits.mean()),
        mass=float((attention * on_cue).sum(axis=(1, 2)).mean()),
        on_decoy=float(decoy_hits.mean()),
        mass_by_chance=float(on_cue.mean()),
    )


def to_crop(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """Map a box from an image's pixels to the evaluation's 112x112 crop.

    Args:
        box: In pixels of the image.
        width: The image's.
        height: The image's.

    Returns:
        x1, y1, x2, y2; outside of 0 to 112 where the crop cuts the box.
    """
    across, down = CONTEXT_SHAPE[1] / width, CONTEXT_SHAPE[0] / height
    left, top = EVALUATION_COLUMNS.start, EVALUATION_ROWS.start
    return (
        box.x1 * across - left,
        box.y1 * down - top,
        box.x2 * across - left,
        box.y2 * down - top,
    )


def centre_cell(box: Box, width: int, height: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Find the cell, row and column, that holds a box's centre.

    Args:
        box: In pixels of the image.
        width: The image's.
        height: The image's.
        grid: Rows and columns of the attention map.

    Returns:
        Row and column; outside of the grid where the crop leaves the centre out.
    """
    x1, y1, x2, y2 = _to_cells(box, width, height, grid)
    return int(np.floor((y1 + y2) / 2)), int(np.floor((x1 + x2) / 2))


def touched_cells(box: Box, width: int, height: int, grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the cells that share some area with a box.

    Args:
        box: In pixels of the image.
        width: The image's.
        height: The image's.
        grid: Rows and columns of the attention map.

    Returns:
        bool [h, w]; none is marked where the crop leaves the box out.
    """
    seen = to_crop(box, width, height)
    if seen[2] <= 0 or seen[3] <= 0 or seen[0] >= CONTEXT_CROP[1] or seen[1] >= CONTEXT_CROP[0]:
        return np.zeros(grid, np.bool_)
    x1, y1, x2, y2 = _to_cells(box, width, height, grid)
    rows, columns = np.arange(grid[0]), np.arange(grid[1])
    in_rows = (rows < y2) & (rows + 1 > y1)
    in_columns = (columns < x2) & (columns + 1 > x1)
    marked: NDArray[np.bool_] = in_rows[:, None] & in_columns[None, :]
    return marked


def _to_cells(
    box: Box, width: int, height: int, grid: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Map a box from an image's pixels to the cells of an attention map, continuous."""
    x1, y1, x2, y2 = to_crop(box, width, height)
    left, right = cell_range(grid[1])
    top, bottom = cell_range(grid[0])
    across, down = (right - left) / CONTEXT_CROP[1], (bottom - top) / CONTEXT_CROP[0]
    return left + x1 * across, top + y1 * down, left + x2 * across, top + y2 * down
