"""A wrong p would let readers believe in differences that are luck, or overlook real ones."""

from dataclasses import replace

import numpy as np
import pytest

from glamor_cli.evaluation.bootstrap import resample_f1
from glamor_cli.evaluation.intervals import difference_interval
from glamor_cli.evaluation.metrics import compute_metrics, mean_of_shared
from glamor_cli.evaluation.significance import adjust_holm, mcnemar, pair_up

CLASSES = ("A", "B", "C")


def answers_of(answered: np.ndarray) -> np.ndarray:
    """Probabilities whose answers are these."""
    return np.eye(3)[answered] * 0.7 + 0.1


def pairing(first: np.ndarray, second: np.ndarray, labels: np.ndarray):
    probabilities = [answers_of(first), answers_of(second)]
    metrics = [compute_metrics(values, labels, CLASSES) for values in probabilities]
    resampled = mean_of_shared(
        np.stack([resample_f1(values, labels, 500) for values in probabilities])
    )
    (found,) = pair_up("AB", np.stack([first, second]), labels, metrics, resampled)
    return found


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 2**5),
        (1, 7, 2 * (1 + 8) / 2**8),
        (2, 10, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_mcnemar_by_hand(first_only, second_only, p):
    assert mcnemar(first_only, second_only) == pytest.approx(p)
    assert mcnemar(second_only, first_only) == pytest.approx(p)


def test_holm_by_hand():
    assert adjust_holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert adjust_holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])
    assert adjust_holm([0.02]) == [0.02]


@pytest.mark.parametrize(("adjusted_p", "better"), [(0.0499, "B"), (0.05, None)])
def test_a_p_of_just_a_twentieth_is_no_difference(adjusted_p, better):
    labels = np.arange(60) % 3
    found = pairing(np.where(np.arange(60) < 9, (labels + 1) % 3, labels), labels, labels)
    assert found.better == "B"
    assert replace(found, adjusted_p=adjusted_p).better == better


def test_pairs_are_counted_by_who_is_right():
    labels = np.array([0, 0, 1, 1, 2, 2])
    first = np.array([0, 0, 1, 0, 0, 1])
    second = np.array([0, 1, 1, 1, 0, 0])
    found = pairing(first, second, labels)
    assert (found.both_right, found.first_only, found.second_only, found.both_wrong) == (2, 1, 1, 2)
    assert found.different == 3
    assert found.accuracy.value == 0
    assert found.better is None


def test_a_small_but_steady_gain_is_found_and_a_large_coincidence_is_not():
    generator = np.random.default_rng(1)
    labels = generator.integers(3, size=2000)
    weak = np.where(generator.random(2000) < 0.6, labels, (labels + 1) % 3)
    gain = np.where((weak != labels) & (generator.random(2000) < 0.08), labels, weak)
    steady = pairing(weak, gain, labels)
    assert steady.better == "B"
    assert 0 < steady.accuracy.interval.low < steady.accuracy.value
    assert steady.accuracy.value < steady.accuracy.interval.high < 0.06

    few = labels[:20]
    luck = pairing(weak[:20], np.where(np.arange(20) < 2, few, weak[:20]), few)
    assert luck.better is None


def test_exchanged_networks_differ_by_the_opposite():
    labels = np.arange(60) % 3
    worse = np.where(np.arange(60) < 9, (labels + 1) % 3, labels)
    gain, loss = pairing(worse, labels, labels), pairing(labels, worse, labels)
    assert (gain.better, loss.better) == ("B", "A")
    assert gain.accuracy.value == pytest.approx(0.15)
    assert gain.macro_f1.value == pytest.approx(1 - 0.85, abs=0.01)
    for name in ("accuracy", "macro_f1"):
        up, down = getattr(gain, name), getattr(loss, name)
        assert down.value == pytest.approx(-up.value)
        ends = (-up.interval.high, -up.interval.low)
        assert (down.interval.low, down.interval.high) == pytest.approx(ends)


def test_the_same_answers_do_not_differ_by_anything():
    labels = np.arange(60) % 3
    answered = np.where(np.arange(60) % 4 == 0, 0, labels)
    found = pairing(answered, answered, labels)
    assert (found.p, found.different, found.better) == (1, 0, None)
    # No two resamples differ, which says nothing of other pairs.
    assert found.macro_f1.interval is None
    # That 60 pairs show no difference does not say that others would not.
    assert found.accuracy.interval.low == pytest.approx(-found.accuracy.interval.high)
    assert found.accuracy.interval.high > 0.04


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        ((35, 14, 0, 1), 0.1461, 0.4175),
        ((1, 97, 1, 1), 0.8736, 0.9850),
        ((0, 30, 0, 0), 0.8395, 1.0),
        ((54, 0, 0, 0), -0.0664, 0.0664),
        ((53, 0, 0, 1), -0.0729, 0.0729),
        ((27, 0, 0, 27), -0.0351, 0.0351),
    ],
)
def test_intervals_of_differences_are_those_that_newcombe_gives(counts, low, high):
    """Table III of his paper, method 10; he subtracts the second share from the first."""
    both, first_only, second_only, neither = counts
    found = difference_interval(both, second_only, first_only, neither)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    turned = difference_interval(both, first_only, second_only, neither)
    assert (turned.low, turned.high) == pytest.approx((-high, -low), abs=1e-4)


def test_few_pairs_leave_a_difference_open():
    """Resamples of one pair, or of 20 that one network gets all right, cannot show the rest."""
    labels = np.zeros(20, np.int64)
    nearly = np.where(np.arange(20) < 1, 1, 0)
    found = pairing(nearly, labels, labels).accuracy
    assert found.interval.low < 0 < found.value == pytest.approx(0.05)
    assert found.value < found.interval.high < 0.3
    one = pairing(labels[:1], labels[:1], labels[:1]).accuracy
    assert one.interval.low < -0.5 < 0.5 < one.interval.high
