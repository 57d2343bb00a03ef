"""How far figures would move with other pairs: the bootstrap (Efron 1979), percentile intervals.

All resamples of so many pairs are the same ones, whatever is judged. So the figures of two networks
on the same pairs can be subtracted resample by resample, which gives the paired bootstrap.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamor_cli.evaluation.metrics import losses_of_pairs, mean_of_shared

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


@dataclass(frozen=True, eq=False)
class Resampled:
    """The figures of one network on every resample, R of them.

    Attributes:
        macro_f1: float64 [R]; as in `Metrics`, over the classes that occur.
        negative_log_likelihood: float64 [R], in nats.
        f1: float64 [R, C]; NaN where the class does not occur at all.
    """

    macro_f1: NDArray[np.float64]
    negative_log_likelihood: NDArray[np.float64]
    f1: NDArray[np.float64]


def resample(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    resamples: int = RESAMPLES,
) -> Resampled:
    """Judge a network on resamples of its pairs, drawn with replacement.

    Args:
        probabilities: [N, C]; each row sums to 1.
        labels: [N], from 0 to C - 1.
        resamples: How many are drawn.
    """
    count, classes = probabilities.shape
    answers = probabilities.argmax(axis=1)
    each_loss = losses_of_pairs(probabilities, labels)
    # A pair's place in the confusion matrix is found once, not for every resample.
    cells = labels.astype(np.int64) * classes + answers
    confusions = np.empty((resamples, classes, classes), np.int64)
    losses = np.empty(resamples)
    generator = np.random.default_rng(_SEED)
    for index in range(resamples):
        rows = generator.integers(count, size=count)
        drawn = np.bincount(cells[rows], minlength=classes**2)
        confusions[index] = drawn.reshape(classes, classes)
        losses[index] = each_loss[rows].mean()
    hits = np.diagonal(confusions, axis1=1, axis2=2)  # (R, C)
    occurrences = confusions.sum(axis=2) + confusions.sum(axis=1)  # as label and as answer
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is meant
        f1 = 2 * hits / occurrences
        return Resampled(
            macro_f1=np.nanmean(f1, axis=1),
            negative_log_likelihood=losses,
            f1=f1,
        )


def share_resampled_macro_f1(resampled: Sequence[Resampled]) -> list[Resampled]:
    """Average as `share_macro_f1` does, in each resample over the classes that occur there."""
    means = mean_of_shared(np.stack([one.f1 for one in resampled]))
    return [replace(one, macro_f1=mean) for one, mean in zip(resampled, means, strict=True)]


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Give the percentile interval of a figure's resamples, NaN left out; None if all are NaN."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, ENDS)
    return Interval(float(low), float(high))
