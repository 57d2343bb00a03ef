"""The intervals that reports show: of shares and of F1 by counting, of losses by Student's t.

Resamples of pairs that are all right are all right too, so that a bootstrap says nothing about a
share near 0 or 1, and much too little about any figure of few pairs. Wilson's interval (1927) does,
and Newcombe's (1998), which is built on it, for the difference of two shares of the same pairs. F1
is a share in disguise, so that Wilson's holds for it too.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from glamor_cli.evaluation.bootstrap import ENDS, Interval
from glamor_cli.evaluation.metrics import Metrics

_NORMAL = NormalDist().inv_cdf(ENDS[1])
"""How many standard deviations from the middle an interval ends."""


def headline_intervals(
    metrics: Metrics, losses: NDArray[np.floating]
) -> dict[str, Interval | None]:
    """Give the intervals of the figures that `Metrics` has for all classes together, by name.

    Args:
        metrics: The figures.
        losses: [N], what each pair adds to the negative log-likelihood, in nats.
    """
    return {
        "accuracy": share_interval(int(metrics.confusion.trace()), metrics.count),
        "macro_f1": macro_f1_interval(metrics),
        "negative_log_likelihood": mean_loss_interval(losses),
    }


def class_intervals(metrics: Metrics) -> list[dict[str, Interval | None]]:
    """Give each class's intervals of precision, recall and F1, in the order of the classes.

    A class without pairs has no intervals, whatever was answered.
    """
    intervals = []
    for index, figures in enumerate(metrics.per_class):
        hits = int(metrics.confusion[index, index])
        answered = int(metrics.confusion[:, index].sum())
        known = figures.support > 0
        intervals.append(
            {
                "precision": share_interval(hits, answered) if known else None,
                "recall": share_interval(hits, figures.support),
                "f1": f1_interval(hits, answered, figures.support) if known else None,
            }
        )
    return intervals


def f1_interval(hits: int, answered: int, support: int) -> Interval | None:
    """Give the interval of a class's F1; None where the class does not occur.

    Of the pairs that bear the label or were answered so, the share J that is both (Jaccard's) makes
    F1 = 2 J / (1 + J), which grows with it: so do the ends of its interval.

    Args:
        hits: Pairs of the class that were answered so.
        answered: Pairs that were answered so.
        support: Pairs of the class.
    """
    found = share_interval(hits, answered + support - hits)
    if found is None:
        return None
    return Interval(*(2 * end / (1 + end) for end in (found.low, found.high)))


def macro_f1_interval(metrics: Metrics) -> Interval:
    """Give the interval of the macro-F1.

    The distances of the classes' ends from their F1, added as vectors, as Newcombe does with those
    of two shares. Percentiles of resamples lie too low where a class is rare: of 1,000 pairs with
    the class shares of FER2013 they held the true value 87 times in 100, and these 93.
    """
    below = above = 0.0
    for index, figures in enumerate(metrics.per_class):
        hits, answered = metrics.confusion[index, index], metrics.confusion[:, index].sum()
        found = f1_interval(int(hits), int(answered), figures.support)
        if found is not None:
            below += (figures.f1 - found.low) ** 2
            above += (found.high - figures.f1) ** 2
    return Interval(
        metrics.macro_f1 - math.sqrt(below) / metrics.averaged,
        metrics.macro_f1 + math.sqrt(above) / metrics.averaged,
    )


def share_interval(hits: int, count: int) -> Interval | None:
    """Give Wilson's interval of a share: of so many hits among so many; None among none."""
    if not count:
        return None
    square = _NORMAL**2
    centre = (2 * hits + square) / (2 * (count + square))
    reach = _NORMAL * math.sqrt(4 * hits * (count - hits) / count + square) / (2 * (count + square))
    # At 0 and 1 the ends are these exactly, whatever is rounded.
    return Interval(centre - reach if hits else 0.0, centre + reach if hits < count else 1.0)


def mean_loss_interval(losses: NDArray[np.floating]) -> Interval | None:
    """Give Student's interval of the mean of losses [N], never below 0; None of fewer than two."""
    if len(losses) < 2:
        return None
    # Late, because few commands need it.
    from scipy.special import stdtrit

    mean, deviation = float(losses.mean()), float(losses.std(ddof=1))
    reach = float(stdtrit(len(losses) - 1, ENDS[1])) * deviation / math.sqrt(len(losses))
    return Interval(max(0.0, mean - reach), mean + reach)


def difference_interval(both: int, first_only: int, second_only: int, neither: int) -> Interval:
    """Give the interval of how much more of the same pairs the second of two gets right.

    Method 10 of Newcombe 1998, "Improved confidence intervals for the difference between binomial
    proportions based on paired data", Statistics in Medicine 17: the distances of Wilson's ends
    from both shares, added as vectors whose angle is the shares' correlation.

    Args:
        both: Pairs that both get right.
        first_only: Pairs that only the first gets right.
        second_only: Pairs that only the second gets right.
        neither: Pairs that both get wrong.

    Raises:
        ValueError: There are no pairs.
    """
    count = both + first_only + second_only + neither
    first, second = both + first_only, both + second_only
    first_ends, second_ends = share_interval(first, count), share_interval(second, count)
    if first_ends is None or second_ends is None:
        raise ValueError("there are no pairs")
    agreement = float(both * neither - first_only * second_only)
    if agreement > 0:  # the correction for continuity that makes it method 10, and not 8
        agreement = max(agreement - count / 2, 0)
    margins = first * (count - first) * second * (count - second)
    correlation = agreement / math.sqrt(margins) if margins else 0.0

    def length(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * correlation * one * other + other**2)

    p1, p2 = first / count, second / count
    return Interval(
        p2 - p1 - length(p2 - second_ends.low, first_ends.high - p1),
        p2 - p1 + length(second_ends.high - p2, p1 - first_ends.low),
    )
