"""Intervals that say too little or too much would make readers believe in differences."""

import numpy as np
import pytest

from glamor_cli.evaluation.bootstrap import interval, resample, share_resampled_macro_f1
from glamor_cli.evaluation.intervals import class_intervals, headline_intervals, share_interval
from glamor_cli.evaluation.metrics import compute_metrics


def answers(count: int, classes: int, accuracy: float, seed: int = 0):
    """Probabilities and labels; the label is answered for about the share ``accuracy``."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=count)
    right = generator.random(count) < accuracy
    answered = np.where(right, labels, (labels + 1) % classes)
    probabilities = np.full((count, classes), 0.1 / (classes - 1))
    probabilities[np.arange(count), answered] = 0.9
    return probabilities, labels


def test_the_interval_of_an_accuracy_is_as_wide_as_theory_says():
    probabilities, labels = answers(1000, 4, 0.7)
    metrics = compute_metrics(probabilities, labels, tuple("ABCD"))
    accuracy = metrics.accuracy
    found = headline_intervals(resample(probabilities, labels), metrics)["accuracy"]
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 1000)
    assert found.low == pytest.approx(accuracy - half, abs=0.004)
    assert found.high == pytest.approx(accuracy + half, abs=0.004)


def test_resamples_are_judged_as_the_pairs_themselves_are():
    """On pairs that are all alike, every resample is the same, so every figure must be."""
    probabilities = np.tile([[0.2, 0.7, 0.1]], (50, 1))
    labels = np.ones(50, np.int64)
    metrics = compute_metrics(probabilities, labels, ("A", "B", "C"))
    resampled = resample(probabilities, labels, 20)
    for name in ("accuracy", "macro_f1", "negative_log_likelihood"):
        np.testing.assert_allclose(getattr(resampled, name), getattr(metrics, name))
    a, b, c = class_intervals(resampled, metrics)
    assert set(a.values()) == set(c.values()) == {None}
    # All right: resamples cannot show how often others would be wrong, and counting can.
    assert (b["f1"], headline_intervals(resampled, metrics)["macro_f1"]) == (None, None)
    assert (round(b["recall"].low, 3), b["recall"].high) == (0.929, 1)


def test_figures_of_all_classes_spread_around_those_of_the_pairs():
    probabilities, labels = answers(600, 5, 0.6, seed=3)
    metrics = compute_metrics(probabilities, labels, tuple("ABCDE"))
    resampled = resample(probabilities, labels)
    headline = headline_intervals(resampled, metrics)
    for name, found in headline.items():
        assert found.low < getattr(metrics, name) < found.high
    for figures, found in zip(metrics.per_class, class_intervals(resampled, metrics), strict=True):
        for name in ("precision", "recall", "f1"):
            assert found[name].low < getattr(figures, name) < found[name].high


def test_two_networks_are_drawn_the_same_resamples():
    """Otherwise their difference would have the spread of both."""
    probabilities, labels = answers(300, 3, 0.5)
    one, other = resample(probabilities, labels), resample(probabilities, labels)
    assert interval(one.accuracy - other.accuracy).low == 0
    assert interval(one.macro_f1 - other.macro_f1).high == 0


def test_resamples_are_averaged_over_the_same_classes_too():
    """The second answers once a class without pairs; where it is drawn, both have it."""
    labels = np.zeros(20, np.int64)
    probabilities = [np.eye(2)[labels], np.eye(2)[np.arange(20) // 19]]
    alone = [resample(values, labels, 100) for values in probabilities]
    first, second = share_resampled_macro_f1(alone)
    drawn = alone[1].accuracy < 1
    assert 0 < drawn.sum() < 100
    np.testing.assert_array_equal(first.macro_f1, np.where(drawn, 0.5, 1))
    np.testing.assert_array_equal(second.macro_f1, alone[1].macro_f1)


def test_a_class_that_is_never_answered_has_no_precision():
    probabilities = np.tile([[0.9, 0.1]], (40, 1))
    labels = np.arange(40) % 2
    metrics = compute_metrics(probabilities, labels, ("A", "B"))
    never = class_intervals(resample(probabilities, labels), metrics)[1]
    assert never["precision"] is None
    assert never["f1"] is None
    assert never["recall"].low == 0 < never["recall"].high


def test_intervals_of_shares_hold_the_true_one_as_often_as_they_say():
    """Few pairs, and shares near 0 and 1: where percentiles of resamples hold it far less often."""
    generator = np.random.default_rng(0)
    for count, true in ((35, 0.99), (36, 0.05), (140, 0.99), (500, 0.66)):
        found = [share_interval(int(hits), count) for hits in generator.binomial(count, true, 400)]
        held = np.mean([one.low <= true <= one.high for one in found])
        assert held > 0.9, (count, true)
