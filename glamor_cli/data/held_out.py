"""The tenth of a split that is held out of a training where no other split can judge it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hold_out(sources: Sequence[str], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a tenth of a split's pairs; those of one image stay together.

    Weights name the draw by its seed alone (``LearntSplit``), so it must stay what it is.

    Args:
        sources: Names of the pairs' images, in the split's order.
        seed: Of the draw.

    Returns:
        The rows that are left, int64, in the order drawn, and those held out, int64, ascending.
    """
    rows = np.arange(len(sources))
    shuffled = np.random.default_rng(seed).permutation(rows)
    held = _whole_images(sources, shuffled, max(1, len(rows) // 10))
    return shuffled[~held[shuffled]], rows[held]


def _whole_images(
    sources: Sequence[str], shuffled: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """Mark the pairs of as many images, in the shuffled order, as make up ``count`` pairs."""
    pairs, images, marked = Counter(sources), set[str](), 0
    for row in shuffled:
        if marked >= count:
            break
        if sources[row] not in images:
            images.add(sources[row])
            marked += pairs[sources[row]]
    return np.fromiter((source in images for source in sources), bool)
