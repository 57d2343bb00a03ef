"""A wrong p would let readers believe in differences that are luck, or overlook real ones."""

import numpy as np
import pytest

from glamor_cli.evaluation.bootstrap import resample
from glamor_cli.evaluation.metrics import compute_metrics
from glamor_cli.evaluation.significance import adjust_holm, mcnemar, pair_up

CLASSES = ("A", "B", "C")


def answers_of(answered: np.ndarray) -> np.ndarray:
    """Probabilities whose answers are these."""
    return np.eye(3)[answered] * 0.7 + 0.1


def pairing(first: np.ndarray, second: np.ndarray, labels: np.ndarray):
    probabilities = [answers_of(first), answers_of(second)]
    metrics = [compute_metrics(values, labels, CLASSES) for values in probabilities]
    resampled = [resample(values, labels, 500) for values in probabilities]
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


def test_the_same_answers_do_not_differ_by_anything():
    labels = np.arange(60) % 3
    answered = np.where(np.arange(60) % 4 == 0, 0, labels)
    found = pairing(answered, answered, labels)
    assert (found.p, found.different, found.better) == (1, 0, None)
    assert (found.accuracy.interval.low, found.macro_f1.interval.high) == (0, 0)
