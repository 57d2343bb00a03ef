"""The paper's update rule, as Keras computes it.

What the authors' program does is in docs/official-program.md, Training.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


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
