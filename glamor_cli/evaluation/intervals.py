"""The intervals that reports show: of shares by counting, of everything else by resampling.

Resamples of pairs that are all right are all right too, so that a bootstrap says nothing about a
share near 0 or 1, and much too little about one of few pairs. Wilson's interval (1927) does.
"""

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
