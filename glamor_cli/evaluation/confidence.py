"""What a network's confidence is worth: reliability, and the errors left if it may abstain."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.evaluation.bootstrap import ENDS, LEVEL
from glamor_cli.evaluation.metrics import (
    CALIBRATION_BINS,
    confidence_bins,
    expected_calibration_error,
)

_SIMULATIONS = 1000
_SEED = 0


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence against accuracy, by bins of equal width.

    Attributes:
        edges: float64 [B + 1], from 0 to 1.
        counts: int64 [B], answers in each bin.
        confidence: float64 [B], mean confidence; NaN where there are none.
        accuracy: float64 [B], share of right answers; NaN where there are none.
        expected_low: float64 [B]; NaN where there are none.
        expected_high: float64 [B]: between the two lies, 95 times of 100, the accuracy that a
            perfectly calibrated network would show on as many answers (consistency resampling,
            Bröcker and Smith 2007).
        error: The expected calibration error.
        error_by_chance: What a perfectly calibrated network would stay below 95 times of 100.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    expected_low: NDArray[np.float64]
    expected_high: NDArray[np.float64]
    error: float
    error_by_chance: float


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The errors among the surest answers, for every share of the answers that is kept.

    Attributes:
        coverage: float64 [N], shares kept, rising to 1.
        risk: float64 [N], share of wrong answers among those kept.
        reachable: bool [N], whether a threshold keeps just these; it cannot part answers of equal
            confidence.
        best_risk: float64 [N], ``risk`` if confidence sorted all right answers before all wrong.
        area: The area under ``risk``: lower is better.
        best_area: The area under ``best_risk``.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    reachable: NDArray[np.bool_]
    best_risk: NDArray[np.float64]
    area: float
    best_area: float

    def coverage_at(self, risk: float) -> float:
        """Give the largest share a threshold keeps with errors of at most ``risk``; 0 if none.

        Args:
            risk: Share of wrong answers, from 0 to 1.
        """
        fitting = np.flatnonzero((self.risk <= risk) & self.reachable)
        return float(self.coverage[fitting[-1]]) if len(fitting) else 0.0


def measure_reliability(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> Reliability:
    """Compare how sure the answers are with how often they are right.

    Args:
        confidence: [N], probability of the answer given, from 0 to 1; N is at least 1.
        right: [N], whether it was right.
        bins: Bins of equal width.
    """
    sure = np.clip(np.asarray(confidence, np.float64), 0, 1)
    index = confidence_bins(sure, bins)
    counts = np.bincount(index, minlength=bins)
    simulated = np.empty((_SIMULATIONS, bins))
    errors = np.empty(_SIMULATIONS)
    generator = np.random.default_rng(_SEED)
    with np.errstate(invalid="ignore"):  # empty bins are NaN
        for row in range(_SIMULATIONS):
            hits = generator.random(len(sure)) < sure
            simulated[row] = np.bincount(index, weights=hits, minlength=bins) / counts
            gaps = np.bincount(index, weights=sure - hits, minlength=bins)
            errors[row] = np.abs(gaps).sum() / len(sure)
        low, high = np.quantile(simulated, ENDS, axis=0)
        return Reliability(
            edges=np.linspace(0, 1, bins + 1),
            counts=counts,
            confidence=np.bincount(index, weights=sure, minlength=bins) / counts,
            accuracy=np.bincount(index, weights=right, minlength=bins) / counts,
            expected_low=low,
            expected_high=high,
            error=expected_calibration_error(sure, right, bins),
            error_by_chance=float(np.quantile(errors, LEVEL)),
        )


def measure_risk_coverage(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> RiskCoverage:
    """Sort the answers by confidence and count the errors among the surest.

    As Geifman and El-Yaniv 2017 ("Selective Classification for Deep Neural Networks"). Answers of
    equal confidence are kept or left together: each counts with their mean error, so that their
    order in the store does not matter.

    Args:
        confidence: [N], probability of the answer given; N is at least 1.
        right: [N], whether it was right.
    """
    count = len(right)
    kept = np.arange(1, count + 1)
    _, ties, sizes = np.unique(-np.asarray(confidence), return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    # Whole numbers, where fractions summed up would miss a limit by their last bit.
    wrong = np.cumsum(np.bincount(ties, weights=~right))
    risk = np.interp(kept, [0, *ends], [0, *wrong]) / kept
    reachable = np.isin(kept, ends)
    best = np.cumsum(np.sort(~right)) / kept
    return RiskCoverage(kept / count, risk, reachable, best, float(risk.mean()), float(best.mean()))
