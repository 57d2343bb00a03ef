"""Learning rates, as functions of the step."""

import math

from glamor_cli.training.keras_sgd import PAPER_RATES, paper_learning_rate
from glamor_cli.training.recipes import Recipe, Schedule

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
        return share * paper_learning_rate(step, steps_per_epoch)
    total = recipe.epochs * steps_per_epoch
    rise = max(1, round(recipe.warm_up * total))
    low, peak = recipe.learning_rate / _START_DIVISOR, recipe.learning_rate
    if step < rise:
        return low + (peak - low) * (1 - math.cos(math.pi * step / rise)) / 2
    fall = min(1.0, (step - rise) / max(1, total - rise))
    if recipe.schedule is Schedule.LINEAR:
        return peak * (1 - fall)
    return peak * (1 + math.cos(math.pi * fall)) / 2
