"""The intervals that reports show: of shares by counting, of everything else by resampling.

Resamples of pairs that are all right are all right too, so that a bootstrap says nothing about a
share near 0 or 1, and much too little about one of few pairs. Wilson's interval (1927) does, and
Newcombe's (1998), which is built on it, for the difference of two shares of the same pairs.
"""

import math

from glamor_cli.evaluation.bootstrap import LEVEL, Interval, Resampled, interval
from glamor_cli.evaluation.metrics import Metrics


def headline_intervals(resampled: Resampled, metrics: Metrics) -> dict[str, Interval | None]:
    """Give the intervals of the figures that `Metrics` has for all classes together, by name.

    None where all answers are alike right or wrong, so that resamples cannot differ.
    """
    right = int(metrics.confusion.trace())
    varied = 0 < right < metrics.count
    return {
        "accuracy": share_interval(right, metrics.count),
        "macro_f1": interval(resampled.macro_f1) if varied else None,
        "negative_log_likelihood": interval(resampled.negative_log_likelihood),
    }


def class_intervals(resampled: Resampled, metrics: Metrics) -> list[dict[str, Interval | None]]:
    """Give each class's intervals of precision, recall and F1, in the order of the classes.

    A class without pairs has no intervals, whatever was answered; nor has F1 where no resample
    could show another one.
    """
    intervals = []
    for index, figures in enumerate(metrics.per_class):
        hits = int(metrics.confusion[index, index])
        answered = int(metrics.confusion[:, index].sum())
        known = figures.support > 0
        varied = 0 < hits < max(figures.support, answered)
        intervals.append(
            {
                "precision": share_interval(hits, answered) if known else None,
                "recall": share_interval(hits, figures.support),
                "f1": interval(resampled.f1[:, index]) if varied else None,
            }
        )
    return intervals


def share_interval(hits: int, count: int) -> Interval | None:
    """Give Wilson's interval of a share: of so many hits among so many; None among none."""
    if not count:
        return None
    # Late: scipy.stats takes a second to import, and only reports need it.
    from scipy.stats import binomtest

    found = binomtest(hits, count).proportion_ci(LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high))


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
