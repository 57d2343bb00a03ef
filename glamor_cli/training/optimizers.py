"""Making a recipe's optimiser."""

import torch
from torch import nn

from glamor_cli.training.keras_sgd import KerasSGD
from glamor_cli.training.recipes import Optimizer, Recipe


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """Make the optimiser; weight decay is for matrices and kernels, not for norms and biases."""
    decayed = [value for value in network.parameters() if value.ndim > 1]
    free = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    rate = recipe.learning_rate
    if recipe.optimizer is Optimizer.KERAS_SGD:
        return KerasSGD(network.parameters(), lr=rate, momentum=recipe.momentum)
    if recipe.optimizer is Optimizer.SGD:
        # Without momentum there is nothing to look ahead along, and torch refuses to.
        ahead = recipe.momentum > 0
        return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=ahead)
    return torch.optim.AdamW(groups, lr=rate, betas=recipe.betas)
