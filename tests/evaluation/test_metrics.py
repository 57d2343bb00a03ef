"""Figures against values computed by hand; the edge cases have a stated meaning."""

import math

import numpy as np
import pytest

from glamor_cli.errors import DataError
from glamor_cli.evaluation.metrics import (
    compute_metrics,
    confidence_bins,
    expected_calibration_error,
    share_macro_f1,
)

CLASSES = ("A", "B", "C", "D")
# Labels A A A B B C; answers A A B B C C; D never occurs.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PROBABILITIES = np.array(
    [
        [0.7, 0.1, 0.1, 0.1],
        [0.4, 0.3, 0.2, 0.1],
        [0.2, 0.5, 0.2, 0.1],
        [0.1, 0.8, 0.05, 0.05],
        [0.1, 0.25, 0.6, 0.05],
        [0.0, 0.0, 1.0, 0.0],
    ]
)


@pytest.fixture(scope="module")
def metrics():
    return compute_metrics(PROBABILITIES, LABELS, CLASSES)


def test_confusion_has_labels_in_rows(metrics):
    expected = [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(metrics.confusion, expected)


def test_figures_by_hand(metrics):
    a, b, c, d = metrics.per_class
    assert (a.precision, a.recall, a.support) == (1, pytest.approx(2 / 3), 3)
    assert (b.precision, b.recall, b.support) == (0.5, 0.5, 2)
    assert (c.precision, c.recall, c.support) == (0.5, 1, 1)
    assert [x.f1 for x in (a, b, c)] == pytest.approx([0.8, 0.5, 2 / 3])
    assert (d.precision, d.recall, d.f1, d.support) == (0, 0, 0, 0)
    assert metrics.accuracy == pytest.approx(4 / 6)
    assert metrics.count == 6


def test_macro_f1_leaves_out_a_class_that_does_not_occur(metrics):
    assert metrics.macro_f1 == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)


def test_macro_f1_counts_a_class_that_was_only_answered():
    metrics = compute_metrics(np.eye(4)[[0, 3]], np.array([0, 0]), CLASSES)
    # A: precision 1, recall 1/2; D: answered once, wrongly.
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_two_networks_are_averaged_over_the_same_classes():
    labels = np.array([0, 0, 1])
    answered = [[0, 0, 1], [0, 0, 3]]
    alone = [compute_metrics(np.eye(4)[rows], labels, CLASSES) for rows in answered]
    assert [one.macro_f1 for one in alone] == pytest.approx([1, 1 / 3])
    shared = share_macro_f1(alone)
    assert [one.macro_f1 for one in shared] == pytest.approx([2 / 3, 1 / 3])
    assert [one.averaged for one in shared] == [3, 3]


def test_negative_log_likelihood_by_hand(metrics):
    expected = -sum(math.log(p) for p in (0.7, 0.4, 0.2, 0.8, 0.25, 1.0)) / 6
    assert metrics.negative_log_likelihood == pytest.approx(expected)


def test_a_perfect_network_loses_nothing_and_not_minus_nothing():
    found = compute_metrics(np.eye(3), np.arange(3), ("A", "B", "C")).negative_log_likelihood
    assert (found, math.copysign(1, found)) == (0, 1)


def test_negative_log_likelihood_of_an_impossible_label_is_finite():
    metrics = compute_metrics(np.eye(4)[[0]], np.array([1]), CLASSES)
    assert math.isfinite(metrics.negative_log_likelihood)
    assert metrics.negative_log_likelihood > 20


def test_calibration_error_by_hand(metrics):
    # Each confidence has a bin of its own (width 1/15), so each pair counts for itself.
    confidence = [0.7, 0.4, 0.5, 0.8, 0.6, 1.0]
    right = [1, 1, 0, 1, 0, 1]
    expected = sum(abs(c - r) for c, r in zip(confidence, right, strict=True)) / 6
    assert metrics.calibration_error == pytest.approx(expected)


def test_a_confidence_on_a_border_belongs_to_the_lower_bin():
    confidence = np.array([0, 0.1, 0.25, 0.3, 0.5, 0.75, 1])
    assert confidence_bins(confidence, 4).tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_calibration_error_averages_within_a_bin():
    # In one bin, confidence 0.75 on average and 3 of 4 right: perfectly calibrated.
    confidence = np.array([0.74, 0.76, 0.75, 0.75])
    right = np.array([True, True, True, False])
    assert expected_calibration_error(confidence, right) == pytest.approx(0)
    assert expected_calibration_error(confidence, ~right) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.empty((0, 4)), np.empty(0, int)),
        (np.eye(4), np.array([0, 1, 2])),
        (np.eye(3), np.array([0, 1, 2])),
        (np.eye(4)[:1], np.array([4])),
        (np.eye(4)[:1], np.array([-1])),
        (np.full((1, 4), np.nan), np.array([0])),
        (np.eye(4), np.array([0.0, 1.0, 2.0, 3.0])),
    ],
)
def test_what_cannot_be_judged(probabilities, labels):
    with pytest.raises(DataError):
        compute_metrics(probabilities, labels, CLASSES)
