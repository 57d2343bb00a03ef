"""Learning rates, as functions of the step."""

import math
from collections.abc import Sequence

from glamor_cli.training.recipes import Recipe, Schedule

PAPER_RATES = (5e-4, 5e-5, 1e-5)
"""The paper's learning rates, one for each stretch of the training."""
PAPER_DROPS = (25, 40)
"""The epochs after which the paper's learning rate drops."""
_START_DIVISOR = 25


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Give the learning rate of a step.

    Args:
        recipe: Its schedule and highest learning rate.
        step: Steps done since the run began.
        steps_per_epoch: How many make an epoch.
    """
    if recipe.schedule is Schedule.PAPER:
        share = recipe.learning_rate / PAPER_RATES[0]  # 1 unless --lr says otherwise
        boundaries = [epoch * steps_per_epoch for epoch in PAPER_DROPS]
        return share * piecewise_rate(step, boundaries, PAPER_RATES)
    total = recipe.epochs * steps_per_epoch
    rise = max(1, round(recipe.warm_up * total))
    low, peak = recipe.learning_rate / _START_DIVISOR, recipe.learning_rate
    if step < rise:
        return low + (peak - low) * (1 - math.cos(math.pi * step / rise)) / 2
    fall = min(1.0, (step - rise) / max(1, total - rise))
    if recipe.schedule is Schedule.LINEAR:
        return peak * (1 - fall)
    return peak * (1 + math.cos(math.pi * fall)) / 2


def piecewise_rate(step: int, boundaries: Sequence[int], rates: Sequence[float]) -> float:
    """Look up a rate that is constant between boundaries, as Keras's ``PiecewiseConstantDecay``.

    Args:
        step: Updates made so far: 0 for the first.
        boundaries: Rising; the step that equals a boundary still has the rate before it.
        rates: One more than there are boundaries.
    """
    return rates[sum(step > boundary for boundary in boundaries)]
