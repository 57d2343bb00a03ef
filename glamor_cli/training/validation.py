"""Judging a network on a split while it trains."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.data.store.pair_store import Split
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.world import World

_BATCH = 64


def validate(
    network: GlamorNet, split: Split, rows: NDArray[np.int64], face_size: int, world: World
) -> tuple[float, float]:
    """Mean loss and accuracy, in float32; the processes of a training share the rows out.

    Args:
        network: What to judge; put into evaluation mode.
        split: Where the pairs are.
        rows: Which of its rows to judge by, int64 [N].
        face_size: Height and width to bring the faces to.
        world: The processes; each gets the same result.
    """
    network.eval()
    own = rows[world.rank :: world.size]
    loss, correct = 0.0, 0
    for start in range(0, len(own), _BATCH):
        chosen = own[start : start + _BATCH]
        face_values, context_values = split.pairs(chosen)
        labels = torch.from_numpy(split.labels[chosen]).to(world.device)
        with torch.inference_mode():
            faces = resize(_to(face_values, world.device), face_size)
            logits = network(faces, _to(context_values, world.device)).logits
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
    total_loss, total_correct = world.total(loss, correct)
    return total_loss / len(rows), total_correct / len(rows)


def resize(faces: Tensor, size: int) -> Tensor:
    """Bring faces (B, 3, H, W) to another size, bilinearly."""
    if size == faces.shape[-1]:
        return faces
    return F.interpolate(faces, size=(size, size), mode="bilinear", align_corners=False)


def _to(values: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device, memory_format=torch.channels_last)
