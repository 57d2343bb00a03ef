"""The paper's update rule and its learning rate, as Keras computes them.

What the authors' program does is in docs/official-program.md, Training.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

PAPER_RATES = (5e-4, 5e-5, 1e-5)
"""The paper's learning rates, one for each stretch of the training."""
PAPER_DROPS = (25, 40)
"""The epochs after which the paper's learning rate drops."""


class KerasSGD(Optimizer):
    """Stochastic gradient descent whose velocity contains the learning rate.

    Keras updates ``v <- momentum * v - lr * g; w <- w + v``. PyTorch's SGD keeps the learning rate
    out of the velocity, so when the rate drops, its momentum shrinks at once, and Keras's does not.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        momentum: Share of the velocity kept at each step.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, object]], lr: float, momentum: float
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [value for value in group["params"] if value.grad is not None]
            for parameter in parameters:
                if "velocity" not in self.state[parameter]:
                    self.state[parameter]["velocity"] = torch.zeros_like(parameter)
            if not parameters:
                continue
            # All parameters in one call: one by one they would cost a small batch its time.
            velocities = [self.state[parameter]["velocity"] for parameter in parameters]
            gradients = [parameter.grad for parameter in parameters]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, gradients, alpha=-group["lr"])
            torch._foreach_add_(parameters, velocities)


def piecewise_rate(step: int, boundaries: Sequence[int], rates: Sequence[float]) -> float:
    """Look up a rate that is constant between boundaries, as Keras's ``PiecewiseConstantDecay``.

    Args:
        step: Updates made so far: 0 for the first.
        boundaries: Rising; the step that equals a boundary still has the rate before it.
        rates: One more than there are boundaries.
    """
    return rates[sum(step > boundary for boundary in boundaries)]


def paper_learning_rate(step: int, steps_per_epoch: int) -> float:
    """Give the paper recipe's learning rate for one update.

    Args:
        step: Updates made so far over all epochs: 0 for the first.
        steps_per_epoch: Updates in an epoch.
    """
    boundaries = [epoch * steps_per_epoch for epoch in PAPER_DROPS]
    return piecewise_rate(step, boundaries, PAPER_RATES)
