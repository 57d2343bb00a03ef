"""A moving average of a network's parameters and statistics, which is judged and kept."""

import torch
from torch import Tensor


def start_average(network: torch.nn.Module) -> dict[str, Tensor]:
    """Copy what is averaged: all floating-point values, the batch norms' statistics with them."""
    return {
        name: value.detach().clone()
        for name, value in network.state_dict().items()
        if value.is_floating_point()
    }


@torch.no_grad()
def move_average(
    average: dict[str, Tensor], network: torch.nn.Module, decay: float, step: int
) -> None:
    """Move parameters and batch norms' statistics alike, so that they belong together.

    Early on the decay is (1 + step) / (10 + step), so that the first weights are soon forgotten, as
    in TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.

    Args:
        average: From ``start_average``; changed in place.
        network: What it moves towards.
        decay: How much of itself the average keeps at a step, in the end.
        step: The step's number, from 0.
    """
    weight = 1 - min(decay, (1 + step) / (10 + step))
    current = network.state_dict()
    values = [current[name] for name in average]
    torch._foreach_lerp_(list(average.values()), values, weight)
