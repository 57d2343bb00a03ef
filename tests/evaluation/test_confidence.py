"""Calibration and selective answers against values computed by hand."""

import numpy as np
import pytest

from glamor_cli.evaluation.confidence import measure_reliability, measure_risk_coverage


def test_reliability_by_hand():
    confidence = np.array([0.55, 0.60, 0.95, 0.95])
    right = np.array([True, False, True, True])
    found = measure_reliability(confidence, right, bins=10)
    np.testing.assert_array_equal(found.counts, [0, 0, 0, 0, 0, 2, 0, 0, 0, 2])
    np.testing.assert_allclose(found.edges, np.arange(11) / 10, atol=1e-12)
    assert found.confidence[5] == pytest.approx(0.575)
    assert (found.accuracy[5], found.accuracy[9]) == (0.5, 1.0)
    assert np.isnan(found.accuracy[0])
    assert found.error == pytest.approx((2 * 0.075 + 2 * 0.05) / 4)


def test_a_calibrated_network_stays_inside_what_chance_allows_and_a_boastful_one_does_not():
    generator = np.random.default_rng(5)
    confidence = generator.uniform(0.3, 1, 4000)
    calibrated = measure_reliability(confidence, generator.random(4000) < confidence)
    assert calibrated.error < calibrated.error_by_chance < 0.05
    inside = (calibrated.accuracy >= calibrated.expected_low) & (
        calibrated.accuracy <= calibrated.expected_high
    )
    assert inside[calibrated.counts > 0].mean() >= 0.8
    boastful = measure_reliability(confidence, generator.random(4000) < confidence - 0.2)
    assert boastful.error > 3 * boastful.error_by_chance


def test_an_error_by_chance_is_exceeded_five_times_of_a_hundred():
    """Of N answers that are half sure, |2 * hits - N| / 2N is the error; hits are binomial."""
    count = 1000
    found = measure_reliability(np.full(count, 0.5), np.arange(count) % 2 == 0)
    # 1.96 standard deviations of the normal distribution; 2.24 would be 2.5 times of a hundred.
    assert found.error_by_chance * 2 * np.sqrt(count) == pytest.approx(1.96, abs=0.1)


def test_risk_and_coverage_by_hand():
    found = measure_risk_coverage(
        np.array([0.6, 0.9, 0.8, 0.7]), np.array([True, True, False, True])
    )
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0, 1 / 2, 1 / 3, 1 / 4])
    np.testing.assert_allclose(found.best_risk, [0, 0, 0, 1 / 4])
    assert found.area == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert found.best_area == pytest.approx(1 / 16)
    assert found.coverage_at(0.3) == 1
    assert found.coverage_at(0.1) == 0.25


def test_equal_confidence_has_no_order():
    confidence = np.full(4, 0.5)
    first = measure_risk_coverage(confidence, np.array([True, True, False, False]))
    last = measure_risk_coverage(confidence, np.array([False, False, True, True]))
    np.testing.assert_allclose(first.risk, 0.5)
    np.testing.assert_allclose(last.risk, first.risk)
    assert first.coverage_at(0.2) == 0


@pytest.mark.parametrize(("count", "wrong"), [(20, 1), (40, 2), (200, 10), (250, 25)])
def test_a_risk_at_the_limit_is_not_beyond_it(count, wrong):
    right = np.arange(count) >= wrong
    found = measure_risk_coverage(np.full(count, 0.9, np.float32), right)
    assert found.coverage_at(wrong / count) == 1


def test_a_threshold_cannot_keep_a_part_of_what_is_equally_sure():
    confidence = np.repeat([0.9, 0.5], 10)
    right = np.array([True] * 15 + [False] * 5)
    found = measure_risk_coverage(confidence, right)
    # Eleven answers would hold 5% errors, but the eleventh does not come alone.
    assert found.risk[10] < 0.05
    assert found.coverage_at(0.05) == 0.5
    assert found.coverage_at(0.25) == 1
