"""Intervals that say too little or too much would make readers believe in differences."""

import numpy as np
import pytest

from glamor_cli.evaluation.bootstrap import interval, resample_f1
from glamor_cli.evaluation.intervals import (
    class_intervals,
    f1_interval,
    headline_intervals,
    macro_f1_interval,
    mean_loss_interval,
    share_interval,
)
from glamor_cli.evaluation.metrics import (
    compute_metrics,
    losses_of_pairs,
    mean_of_shared,
    share_macro_f1,
)


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
    found = headline_intervals(metrics, losses_of_pairs(probabilities, labels))["accuracy"]
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / 1000)
    assert found.low == pytest.approx(accuracy - half, abs=0.004)
    assert found.high == pytest.approx(accuracy + half, abs=0.004)


def test_an_interval_leaves_out_a_fortieth_at_each_end_and_what_is_not_known():
    known = interval(np.r_[np.arange(1001.0), np.nan])
    assert (known.low, known.high) == pytest.approx((25, 975))
    assert interval(np.full(5, np.nan)) is None
    # An interval without a width would say that other pairs change nothing.
    assert interval(np.r_[np.full(5, 0.25), np.nan]) is None


def test_resamples_are_judged_as_the_pairs_themselves_are():
    """On pairs that are all alike, every resample is the same, so every figure must be."""
    probabilities = np.tile([[0.2, 0.7, 0.1]], (50, 1))
    labels = np.ones(50, np.int64)
    metrics = compute_metrics(probabilities, labels, ("A", "B", "C"))
    resampled = resample_f1(probabilities, labels, 20)
    np.testing.assert_array_equal(resampled, np.tile([np.nan, 1, np.nan], (20, 1)))
    a, b, c = class_intervals(metrics)
    assert set(a.values()) == set(c.values()) == {None}
    # All right: resamples cannot show how often others would be wrong, and counting can.
    assert (round(b["recall"].low, 3), b["recall"].high) == (0.929, 1)
    assert (round(b["f1"].low, 3), b["f1"].high) == (0.963, 1)
    assert macro_f1_interval(metrics) == b["f1"]


def test_figures_of_all_classes_spread_around_those_of_the_pairs():
    probabilities, labels = answers(600, 5, 0.6, seed=3)
    metrics = compute_metrics(probabilities, labels, tuple("ABCDE"))
    headline = headline_intervals(metrics, losses_of_pairs(probabilities, labels))
    for name, found in headline.items():
        assert found.low < getattr(metrics, name) < found.high
    for figures, found in zip(metrics.per_class, class_intervals(metrics), strict=True):
        for name in ("precision", "recall", "f1"):
            assert found[name].low < getattr(figures, name) < found[name].high


def test_two_networks_are_drawn_the_same_resamples():
    """Otherwise their difference would have the spread of both."""
    probabilities, labels = answers(300, 3, 0.5)
    one, other = resample_f1(probabilities, labels), resample_f1(probabilities, labels)
    np.testing.assert_array_equal(one, other)


def test_resamples_are_averaged_over_the_same_classes_too():
    """The second answers once a class without pairs; where it is drawn, both have it."""
    labels = np.zeros(20, np.int64)
    probabilities = [np.eye(2)[labels], np.eye(2)[np.arange(20) // 19]]
    alone = np.stack([resample_f1(values, labels, 100) for values in probabilities])
    first, second = mean_of_shared(alone)
    drawn = np.isfinite(alone[1][:, 1])
    assert 0 < drawn.sum() < 100
    np.testing.assert_array_equal(first, np.where(drawn, 0.5, 1))
    np.testing.assert_allclose(second, np.nanmean(alone[1], axis=1))


@pytest.mark.parametrize("count", [2, 5, 20, 200])
def test_the_interval_of_a_mean_loss_holds_the_true_one_also_of_few_pairs(count):
    """Losses of a network that is mostly sure and sometimes wrong; percentiles of two held 46%."""
    generator = np.random.default_rng(count)
    found = [mean_loss_interval(generator.gamma(1.0, 1.0, count)) for _ in range(400)]
    assert np.mean([one.low <= 1 <= one.high for one in found]) > 0.85
    assert min(one.low for one in found) >= 0


def test_one_pair_says_nothing_of_the_loss_of_others():
    assert mean_loss_interval(np.array([0.03])) is None


def test_a_class_that_is_never_answered_has_no_precision():
    probabilities = np.tile([[0.9, 0.1]], (40, 1))
    labels = np.arange(40) % 2
    metrics = compute_metrics(probabilities, labels, ("A", "B"))
    never = class_intervals(metrics)[1]
    assert never["precision"] is None
    assert never["f1"].low == never["recall"].low == 0 < never["f1"].high
    assert never["recall"].high > 0


def test_intervals_of_shares_hold_the_true_one_as_often_as_they_say():
    """Few pairs, and shares near 0 and 1: where percentiles of resamples hold it far less often."""
    generator = np.random.default_rng(0)
    for count, true in ((35, 0.99), (36, 0.05), (140, 0.99), (500, 0.66)):
        found = [share_interval(int(hits), count) for hits in generator.binomial(count, true, 400)]
        held = np.mean([one.low <= true <= one.high for one in found])
        assert held > 0.9, (count, true)


def test_intervals_of_f1_hold_the_true_one_as_often_as_they_say():
    """Shares of the classes as in FER2013, one of them rare and mostly missed.

    Percentiles of resamples held the true macro-F1 less than 88 times in 100, and were too low.
    """
    shares = np.array([0.133, 0.012, 0.128, 0.273, 0.183, 0.190, 0.081])
    recalls = np.array([0.61, 0.17, 0.25, 0.88, 0.75, 0.55, 0.78])
    cells = shares[:, None] * (np.diag(recalls) + (1 - np.eye(7)) * (1 - recalls)[:, None] / 6)
    true = 2 * cells.diagonal() / (cells.sum(0) + cells.sum(1))
    generator = np.random.default_rng(0)
    held, held_rare = [], []
    for _ in range(400):
        confusion = generator.multinomial(1000, cells.ravel()).reshape(7, 7)
        labels, answered = np.divmod(np.repeat(np.arange(49), confusion.ravel()), 7)
        metrics = compute_metrics(np.eye(7)[answered], labels, tuple("ABCDEFG"))
        found = macro_f1_interval(metrics)
        held.append(found.low <= true.mean() <= found.high)
        rare = f1_interval(confusion[1, 1], confusion[:, 1].sum(), confusion[1].sum())
        held_rare.append(rare.low <= true[1] <= rare.high)
    assert np.mean(held) > 0.92
    assert np.mean(held_rare) > 0.92


def test_the_macro_f1_of_a_comparison_is_averaged_over_the_classes_of_all():
    """The second network answers a class without pairs, which counts for the first one too."""
    labels = np.arange(20) % 2
    probabilities = np.eye(3)[labels], np.eye(3)[np.where(np.arange(20) < 3, 2, labels)]
    metrics = [compute_metrics(values, labels, tuple("ABC")) for values in probabilities]
    shared = share_macro_f1(metrics)
    assert [one.averaged for one in metrics] == [2, 3]
    assert [one.averaged for one in shared] == [3, 3]
    alone, within = macro_f1_interval(metrics[0]), macro_f1_interval(shared[0])
    assert within.high == pytest.approx(alone.high * 2 / 3)
    assert within.low == pytest.approx(alone.low * 2 / 3)
