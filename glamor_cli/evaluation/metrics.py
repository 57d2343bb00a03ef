"""What a model's answers are worth: accuracy, F1, confusion, calibration. NumPy only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import DataError

CALIBRATION_BINS = 15
"""Bins of equal width, as Guo et al. 2017 ("On Calibration of Modern Neural Networks")."""
_SMALLEST_PROBABILITY = 1e-12
"""A label's probability counts as at least this, so that no single pair's loss is infinite."""
_UNKNOWN = ("precision", "recall", "f1")
"""What cannot be told of a class without pairs."""


@dataclass(frozen=True)
class ClassMetrics:
    """One emotion's figures.

    Attributes:
        precision: Share of the answers of this class that are right; 0 if it was never answered.
        recall: Share of this class's pairs that were found; 0 if there are none.
        f1: Harmonic mean of both; 0 if both are 0.
        support: How many pairs are of this class.
    """

    precision: float
    recall: float
    f1: float
    support: int

    def to_dict(self) -> dict[str, float | None]:
        """Give what JSON says: None for all but ``support`` where there are no pairs.

        What is not known is left blank by the tables of ``evaluate`` and its report, too.
        """
        return asdict(self) if self.support else asdict(self) | dict.fromkeys(_UNKNOWN)


@dataclass(frozen=True, eq=False)
class Metrics:
    """All figures of one evaluation.

    Attributes:
        accuracy: Share of right answers.
        macro_f1: Mean F1 over the classes that occur among the labels or the answers; a class
            that does not occur at all says nothing and is left out. In a comparison, the answers
            are those of all networks.
        averaged: How many classes these are.
        count: How many pairs.
        classes: Names of the emotions.
        per_class: Their figures, in the same order.
        confusion: int64 [C, C]; rows are the labels, columns the answers.
        calibration_error: Expected calibration error: the mean distance between confidence
            and accuracy over 15 bins of confidence, weighted by their counts.
        negative_log_likelihood: Mean of -ln(probability of the label), in nats.
    """

    accuracy: float
    macro_f1: float
    averaged: int
    count: int
    classes: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]
    confusion: NDArray[np.int64]
    calibration_error: float
    negative_log_likelihood: float


def compute_metrics(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], classes: Sequence[str]
) -> Metrics:
    """Compute all figures.

    Args:
        probabilities: [N, C]; each row sums to 1.
        labels: [N], from 0 to C - 1.
        classes: C names.

    Raises:
        DataError: No pairs, shapes that do not fit, values that are not finite, or labels that
            are not classes.
    """
    _check(probabilities, labels, len(classes))
    answers = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, answers, len(classes))
    per_class = tuple(_class_metrics(confusion, index) for index in range(len(classes)))
    occurring = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    right = answers == labels
    losses = losses_of_pairs(probabilities, labels)
    return Metrics(
        accuracy=float(right.mean()),
        macro_f1=float(np.mean([c.f1 for c, o in zip(per_class, occurring, strict=True) if o])),
        averaged=int(occurring.sum()),
        count=len(labels),
        classes=tuple(classes),
        per_class=per_class,
        confusion=confusion,
        calibration_error=expected_calibration_error(probabilities.max(axis=1), right),
        negative_log_likelihood=float(losses.mean()) + 0.0,  # never -0
    )


def share_macro_f1(metrics: Sequence[Metrics]) -> list[Metrics]:
    """Average the F1 of several networks on the same pairs over the same classes.

    Otherwise a network that answers a class without pairs would be set against one that never
    does, which is judged by fewer classes.
    """
    f1 = np.array([[figures.f1 for figures in one.per_class] for one in metrics])
    for row, one in zip(f1, metrics, strict=True):
        row[one.confusion.sum(axis=0) + one.confusion.sum(axis=1) == 0] = np.nan
    averaged = int((~np.isnan(f1)).any(axis=0).sum())
    return [
        replace(one, macro_f1=float(mean), averaged=averaged)
        for one, mean in zip(metrics, mean_of_shared(f1), strict=True)
    ]


def mean_of_shared(f1: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over the classes that occur for any of K networks.

    Args:
        f1: float64 [K, ..., C]; NaN where a class does not occur for the network.

    Returns:
        float64 [K, ...]; a class that occurs only for others counts as 0.
    """
    occurring = ~np.isnan(f1).all(axis=0)
    means: NDArray[np.float64] = np.nan_to_num(f1).sum(axis=-1) / occurring.sum(axis=-1)
    return means


def losses_of_pairs(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Compute -ln(probability of the label), in nats: float64 [N].

    Args:
        probabilities: [N, C].
        labels: [N], from 0 to C - 1.
    """
    likelihoods = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.maximum(likelihoods, _SMALLEST_PROBABILITY))
    return losses


def confusion_matrix(
    labels: NDArray[np.integer], answers: NDArray[np.integer], classes: int
) -> NDArray[np.int64]:
    """Count answers by label: int64 [C, C], rows are the labels, columns the answers."""
    pairs = labels.astype(np.int64) * classes + answers
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def expected_calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float:
    """Compare how sure the answers are with how often they are right.

    Args:
        confidence: [N], probability of the answer given, from 0 to 1.
        right: [N], whether it was right.
        bins: Bins of equal width; a value on a border belongs to the lower bin.
    """
    gaps = np.bincount(confidence_bins(confidence, bins), confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def confidence_bins(confidence: NDArray[np.floating], bins: int) -> NDArray[np.int64]:
    """Sort confidences, [N] from 0 to 1, into bins of equal width: int64 [N], each from 0.

    A value on a border belongs to the lower bin.
    """
    index = np.ceil(np.asarray(confidence, np.float64) * bins).astype(np.int64) - 1
    return np.clip(index, 0, bins - 1)


def _class_metrics(confusion: NDArray[np.int64], index: int) -> ClassMetrics:
    hits = int(confusion[index, index])
    answered, support = int(confusion[:, index].sum()), int(confusion[index].sum())
    return ClassMetrics(
        precision=hits / answered if answered else 0.0,
        recall=hits / support if support else 0.0,
        f1=2 * hits / (answered + support) if hits else 0.0,
        support=support,
    )


def _check(probabilities: NDArray[np.floating], labels: NDArray[np.integer], classes: int) -> None:
    if probabilities.shape != (len(labels), classes) or labels.ndim != 1:
        raise DataError(
            f"probabilities {list(probabilities.shape)} do not fit {list(labels.shape)} labels "
            f"of {classes} classes",
            "Give one row of probabilities per label and one column per class.",
        )
    if not len(labels):
        raise DataError("there are no pairs to judge", "Evaluate a split that holds pairs.")
    if not np.isfinite(probabilities).all():
        raise DataError(
            "the probabilities hold values that are not finite",
            "The weights have diverged; use an earlier checkpoint.",
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels are {labels.dtype}, not integers", "Give labels as numbers of classes."
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}, "
            f"but classes from 0 to {classes - 1}",
            "Evaluate on data labelled with the network's own classes.",
        )
