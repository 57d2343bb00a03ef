"""How far figures would move with other pairs: the bootstrap (Efron 1979), percentile intervals.

All resamples of so many pairs are the same ones, whatever is judged. So the figures of two networks
on the same pairs can be subtracted resample by resample, which gives the paired bootstrap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
"""How often an interval holds what it is for."""
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
"""Between which quantiles it lies."""
_SEED = 0


@dataclass(frozen=True)
class Interval:
    """Where a figure would lie, ``LEVEL`` of the times, with other pairs of the same kind.

    Attributes:
        low: Its lower end.
        high: Its upper end.
    """

    low: float
    high: float


def resample_f1(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    resamples: int = RESAMPLES,
) -> NDArray[np.float64]:
    """Judge a network on R resamples of its pairs, drawn with replacement.

    Args:
        probabilities: [N, C]; each row sums to 1.
        labels: [N], from 0 to C - 1.
        resamples: How many are drawn.

    Returns:
        float64 [R, C], the classes' F1; NaN where a class does not occur at all.
    """
    count, classes = probabilities.shape
    answers = probabilities.argmax(axis=1)
    # A pair's place in the confusion matrix is found once, not for every resample.
    cells = labels.astype(np.int64) * classes + answers
    confusions = np.empty((resamples, classes, classes), np.int64)
    generator = np.random.default_rng(_SEED)
    for index in range(resamples):
        drawn = np.bincount(cells[generator.integers(count, size=count)], minlength=classes**2)
        confusions[index] = drawn.reshape(classes, classes)
    hits = np.diagonal(confusions, axis1=1, axis2=2)  # (R, C)
    occurrences = confusions.sum(axis=2) + confusions.sum(axis=1)  # as label and as answer
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        f1: NDArray[np.float64] = 2 * hits / occurrences
    return f1


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Give the percentile interval of a figure's resamples, NaN left out.

    Returns:
        None where no two resamples differ: they then say nothing of what other pairs would do.
    """
    known = values[np.isfinite(values)]
    if not len(known) or known.min() == known.max():
        return None
    low, high = np.quantile(known, ENDS)
    return Interval(float(low), float(high))
