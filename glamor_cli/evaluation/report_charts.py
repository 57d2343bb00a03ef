"""Charts of an evaluation's report; numbers only, because no stranger's text belongs in a chart."""

from typing import TYPE_CHECKING

import numpy as np

from glamor_cli.evaluation.confidence import Reliability, RiskCoverage
from glamor_cli.rendering.colours import BLUE, FAINT, GREEN, INK, VERMILION
from glamor_cli.rendering.own_style import own_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE = (5.4, 4.4)


@own_style()
def draw_reliability(reliability: Reliability) -> "Figure":
    """Draw accuracy over confidence, and below it how many answers are how sure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    filled = reliability.counts > 0
    width = reliability.edges[1] - reliability.edges[0]
    centres = (reliability.edges[:-1] + reliability.edges[1:]) / 2
    upper.plot((0, 1), (0, 1), color=FAINT, linewidth=1, linestyle="--")
    upper.bar(centres[filled], reliability.accuracy[filled], width * 0.9, color=BLUE)
    middle = (reliability.expected_low + reliability.expected_high)[filled] / 2
    upper.errorbar(
        reliability.confidence[filled],
        middle,
        (reliability.expected_high - reliability.expected_low)[filled] / 2,
        fmt="none",
        ecolor=VERMILION,
        capsize=4,
        elinewidth=1.6,
        capthick=1.6,
    )
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("share of right answers")
    lower.bar(centres, reliability.counts, width * 0.9, color=FAINT)
    lower.set_ylabel("answers")
    lower.set_xlabel("confidence")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


@own_style()
def draw_risk_coverage(risk: RiskCoverage) -> "Figure":
    """Draw the share of wrong answers over the share of pairs that are answered."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    # More points than pixels would only make the page heavy.
    shown = np.unique(np.linspace(0, len(risk.coverage) - 1, 400).astype(int))
    coverage = risk.coverage[shown]
    axes.axhline(risk.risk[-1], color=FAINT, linewidth=1, linestyle="--")
    axes.plot(coverage, risk.risk[shown], color=BLUE, linewidth=2, label="by confidence")
    axes.plot(
        coverage, risk.best_risk[shown], color=GREEN, linewidth=1.5, linestyle=":", label="at best"
    )
    top = max(0.05, float(risk.risk[shown].max()) * 1.12)
    axes.annotate(
        "if all are answered",
        (0.01, risk.risk[-1]),
        textcoords="offset points",
        xytext=(0, 2),
        color=INK,
        fontsize=9,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, min(1.02, top))
    axes.set_xlabel("share of pairs answered (coverage)")
    axes.set_ylabel("share of wrong answers (risk)")
    # Above the axes: no corner within them is free at every share of wrong answers.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
