"""Charts whose labels lie clear of what they label, whatever the figures."""

import numpy as np
import pytest

from glamor_cli.evaluation.confidence import RiskCoverage
from glamor_cli.evaluation.report_charts import draw_risk_coverage
from glamor_cli.training.curves import draw_curves
from glamor_cli.training.epoch_metrics import EpochMetrics


@pytest.mark.parametrize("wrong", [0.02, 0.3, 0.86, 1.0])
def test_the_legend_lies_over_no_curve_and_no_label(wrong):
    coverage = np.arange(1, 301) / 300
    risk = RiskCoverage(
        coverage=coverage,
        risk=wrong * (0.6 + 0.4 * coverage),
        reachable=np.ones(300, np.bool_),
        best_risk=np.maximum(0, (coverage - 1 + wrong) / coverage),
        area=0.0,
        best_area=0.0,
    )
    figure = draw_risk_coverage(risk)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend = axes.get_legend().get_window_extent()
    assert not any(text.get_window_extent().overlaps(legend) for text in axes.texts)
    for line in axes.lines[1:]:
        points = axes.transData.transform(line.get_xydata())
        assert not legend.count_contains(points)


@pytest.mark.parametrize("accuracy", [0.0, 0.04, 0.5, 1.0])
def test_the_best_accuracy_is_written_within_the_chart(accuracy):
    history = [EpochMetrics(epoch, 2.0, 0.1, 2.0, accuracy, 0.1, 1.0, 1.0) for epoch in (1, 2)]
    figure = draw_curves(history, history[0])
    figure.draw_without_rendering()
    axes = figure.axes[1]
    (best,) = axes.texts
    assert best.get_window_extent().y0 >= axes.get_window_extent().y0


def test_the_best_accuracy_is_not_written_over_that_of_training():
    """In a fine-tuning's first epochs training is often the worse of the two."""
    for train, validation in ((0.13, 0.18), (0.25, 0.18), (0.89, 0.95)):
        epoch = EpochMetrics(1, 2.0, train, 2.0, validation, 0.1, 1.0, 1.0)
        figure = draw_curves([epoch], epoch)
        figure.draw_without_rendering()
        axes = figure.axes[1]
        (best,) = axes.texts
        assert not best.get_window_extent().contains(*axes.transData.transform((1, train)))
