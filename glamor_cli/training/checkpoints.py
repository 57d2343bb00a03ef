"""Training checkpoints: safetensors and JSON, written atomically, the one before kept.

A checkpoint holds the network, the moving average, the optimiser's state and the place in the
run. The randomness of every step follows from the seed and the step's number, so there is no
generator's state to keep.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glamor_cli.atomic import atomic_path
from glamor_cli.errors import CheckpointError

LAST = "last.safetensors"
PREVIOUS = "previous.safetensors"
_KEY = "glamor-training"


@dataclass
class Place:
    """Where a run is.

    Attributes:
        epoch: The epoch in progress, from 0.
        step: Steps of it already done.
        loss_sum: Sum over this epoch's pairs of their loss.
        correct: How many of them were right.
        seen: How many pairs that was.
        seconds: Time spent in this epoch.
        best_accuracy: On validation; -1 before the first.
        best_epoch: Where it was reached.
        history: One entry for each finished epoch, as in metrics.jsonl.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_epoch: int = -1
    history: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    place: Place,
    network: torch.nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write ``last.safetensors``; what it replaces becomes ``previous.safetensors``.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in (average or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:  # a momentum that has not begun
                tensors[f"optimizer/{index}/{key}"] = torch.as_tensor(value)
    last = folder / LAST
    with atomic_path(last) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            metadata={_KEY: json.dumps(asdict(place))},
        )
        if last.exists():
            last.replace(folder / PREVIOUS)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a run in this folder can be resumed."""
    return (folder / LAST).exists() or (folder / PREVIOUS).exists()


def load_checkpoint(
    folder: Path,
    network: torch.nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> Place:
    """Put a run back to where its last whole checkpoint was.

    Args:
        folder: The run's folder.
        network: Takes its parameters and statistics.
        average: The moving average's tensors, filled in place.
        optimizer: Takes its state.

    Raises:
        CheckpointError: No whole checkpoint is there, or it is of another network.
    """
    errors = []
    for name in (LAST, PREVIOUS):
        try:
            tensors, place = _read(folder / name)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            errors.append(f"{name}: {error}")
            continue
        _restore(folder / name, tensors, network, average, optimizer)
        return place
    raise CheckpointError(
        f"{folder} holds no whole checkpoint ({'; '.join(errors)})",
        "Begin anew in another folder with --run.",
    )


def _read(path: Path) -> tuple[dict[str, Tensor], Place]:
    with safe_open(path, framework="pt") as handle:
        place = Place(**json.loads(handle.metadata()[_KEY]))
        return {name: handle.get_tensor(name) for name in handle.keys()}, place  # noqa: SIM118


def _restore(
    path: Path,
    tensors: dict[str, Tensor],
    network: torch.nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    groups: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimizer": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    try:
        network.load_state_dict(groups["network"])
        for name, value in (average or {}).items():
            value.copy_(groups["average"][name])
        state: dict[int, dict[str, Any]] = {}
        for name, value in groups["optimizer"].items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is a checkpoint of another network ({str(error).splitlines()[0]})",
            "Resume with the network and recipe the run was begun with.",
        ) from error
