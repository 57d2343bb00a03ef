"""Pictures that say nothing: contexts from which the network learns to distrust the context."""

import torch
import torch.nn.functional as F
from torch import Tensor

from glamor_cli.data.batches.draws import Draws
from glamor_cli.network.config import CONTEXT_SIZE

_GRIDS = (1, 2, 4, 8, 16, 56)
"""Sizes of the random grids that are enlarged and mixed, from a plain colour to fine noise."""


def replace_contexts(contexts: Tensor, share: float, draws: Draws) -> Tensor:
    """Replace a random share of a batch's contexts by generated pictures.

    Args:
        contexts: (B, 3, 112, 112), RGB in [0, 1].
        share: Probability that a context is replaced.
        draws: Where the randomness comes from.

    Returns:
        A batch of the same shape; contexts that are kept are untouched.
    """
    chosen, of_chosen = draws.choose(len(contexts), share)
    pictures = synthetic_contexts(int(chosen.sum()), of_chosen).to(contexts)
    replaced = contexts.clone()
    replaced[chosen.to(contexts.device)] = pictures
    return replaced


def synthetic_contexts(count: int, draws: Draws) -> Tensor:
    """Generate pictures of random colours and structures, gray or coloured, each with a mask.

    Args:
        count: How many.
        draws: Where the randomness comes from; of a CPU generator.

    Returns:
        (count, 3, 112, 112), RGB in [0, 1].
    """
    # Each picture mixes enlarged random grids with weights that fall off differently, so that some
    # are smooth as skies and some as busy as crowds.
    weights = draws.uniform(count, len(_GRIDS)) ** 3
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-3)
    pictures = torch.zeros(count, 3, CONTEXT_SIZE, CONTEXT_SIZE)
    for index, size in enumerate(_GRIDS):
        grid = draws.uniform(count, 3, size, size)
        mode = "nearest" if index % 2 else "bicubic"
        enlarged = F.interpolate(grid, size=(CONTEXT_SIZE, CONTEXT_SIZE), mode=mode)
        pictures += weights[:, index, None, None, None] * enlarged
    gray = (draws.uniform(count, 1, 1, 1) < 0.3).float()
    pictures = gray * pictures.mean(dim=1, keepdim=True) + (1 - gray) * pictures
    spread = 0.4 + 1.6 * draws.uniform(count, 1, 1, 1)
    level = draws.uniform(count, 1, 1, 1)
    pictures = ((pictures - 0.5) * spread + level).clamp(0, 1)
    return pictures * _masks(count, draws)


def _masks(count: int, draws: Draws) -> Tensor:
    """Zero a random square, where a real context has its masked face: (count, 1, 112, 112)."""
    side = 8 + 80 * draws.uniform(count, 1) ** 2
    centre_x = CONTEXT_SIZE * draws.uniform(count, 1)
    centre_y = CONTEXT_SIZE * draws.uniform(count, 1)
    position = torch.arange(CONTEXT_SIZE, dtype=torch.float32)[None]
    columns = (position - centre_x).abs() < side / 2  # (count, 112)
    rows = (position - centre_y).abs() < side / 2
    return (~(rows[:, :, None] & columns[:, None, :])).float()[:, None]
