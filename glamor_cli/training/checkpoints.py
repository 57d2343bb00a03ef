"""Training checkpoints: safetensors and JSON, written atomically, the one before kept.

A checkpoint holds the network, the moving average, the optimiser's state, and where in the
run it was. The randomness of every step follows from the seed and the step's number, so there is no
generator's state to keep. A checksum of all of it tells a damaged one.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from glamor_cli.errors import CheckpointError, ConfigError, reason_of
from glamor_cli.files import atomic
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.files.kinds import exists
from glamor_cli.files.reading import MALFORMED
from glamor_cli.files.tensor_files import check_bounds, write_tensors
from glamor_cli.files.utf8_paths import utf8_path
from glamor_cli.training.epoch_metrics import EpochMetrics
from glamor_cli.weights.metadata import CHECKPOINT_KEY
from glamor_cli.weights.network_file import MAX_WEIGHTS_BYTES

LAST = "last.safetensors"
PREVIOUS = "previous.safetensors"
DAMAGED = "damaged.safetensors"
AVERAGE = "average/"
"""What the moving average's tensors are called by, before their names in the network."""
_CHECKSUM_KEY = "glamor-training-sha256"
_LARGEST = 4 * MAX_WEIGHTS_BYTES
"""A network, its average, and what an optimiser keeps: at most two values for each parameter."""


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        epoch: The epoch in progress, from 0.
        step: Steps of it already done.
        loss_sum: Sum over this epoch's pairs of their loss.
        correct: How many of them were right.
        seen: How many pairs that was.
        seconds: Time spent in this epoch.
        best_accuracy: On validation; -1 before the first.
        best_epoch: Where it was reached, from 0.
        history: The finished epochs.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    best_accuracy: float = -1.0
    best_epoch: int = -1
    history: list[EpochMetrics] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    run_state: RunState,
    network: torch.nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write ``last.safetensors``; what it replaces becomes ``previous.safetensors``.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    tensors = {f"network/{name}": value for name, value in network.state_dict().items()}
    tensors |= {f"{AVERAGE}{name}": value for name, value in (average or {}).items()}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if value is not None:  # a momentum that has not begun
                tensors[f"optimizer/{index}/{key}"] = torch.as_tensor(value)
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    where = json.dumps(asdict(run_state))
    metadata = {CHECKPOINT_KEY: where, _CHECKSUM_KEY: _checksum(where, tensors)}
    last = folder / LAST
    with atomic.atomic_path(last) as temporary:
        write_tensors(temporary, tensors, metadata, of=last)
        if exists(last):
            last.replace(folder / PREVIOUS)


def has_checkpoint(folder: Path) -> bool:
    """Tell whether a run in this folder can be resumed.

    Raises:
        ConfigError: The system does not say, as of too long a name.
    """
    try:
        return exists(folder / LAST) or exists(folder / PREVIOUS)
    except OSError as error:
        raise ConfigError(
            f"cannot open {folder}: {reason_of(error)}",
            "Check its name and its permissions, or choose another folder with --run.",
        ) from error


def set_aside(damaged: Path) -> None:
    """Rename a damaged checkpoint to ``damaged.safetensors``.

    Left where it is, the next one would put it in the place of the whole one before it, and a kill
    just then would leave nothing to go on from.
    """
    damaged.replace(damaged.with_name(DAMAGED))


def lock_run(folder: Path) -> AbstractContextManager[Callable[[], None]]:
    """Keep a second training out of a run's folder: each would remove the other's files.

    Returns:
        As ``lock_folder``.

    Raises:
        ConfigError: Another process is training in it, or it cannot be made.
    """
    return lock_folder(
        folder, "training in", "Wait until it has finished, or choose another folder with --run."
    )


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove the half-written files that a kill left in a run's folder.

    Args:
        folder: The run's folder.
        names: What else a training writes there, as globs.
    """
    atomic.remove_leftovers(folder, LAST, *names)
    # safetensors writes to a file of its own beside the one it is given, and renames it; whose
    # it was, its name does not tell.
    for leftover in folder.glob(".tmp??????"):
        leftover.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path,
    network: torch.nn.Module,
    average: dict[str, Tensor] | None,
    optimizer: torch.optim.Optimizer,
    on_damaged: Callable[[Path, str], None] = lambda *_: None,
) -> RunState:
    """Put a run back to where its last whole checkpoint was.

    Args:
        folder: The run's folder.
        network: Takes its parameters and statistics.
        average: The moving average's tensors, filled in place.
        optimizer: Takes its state.
        on_damaged: Called with the last checkpoint and what is wrong with it, where it is damaged
            and the one before is used.

    Raises:
        CheckpointError: No whole checkpoint is there, or it is of another network.
    """
    errors: list[tuple[Path, str]] = []
    for name in (LAST, PREVIOUS):
        path = folder / name
        try:
            tensors, run_state = _read(path)
        except (SafetensorError, OSError, *MALFORMED) as error:
            # A kill between two renames leaves no last checkpoint; that is not damage.
            if path.exists():
                errors.append((path, str(error)))
            continue
        _restore(path, tensors, network, average, optimizer)
        for damaged in errors:
            on_damaged(*damaged)
        return run_state
    reasons = "; ".join(f"{path.name}: {reason}" for path, reason in errors)
    raise CheckpointError(
        f"{folder} holds no usable checkpoint ({reasons})",
        "Start again in another folder with --run.",
    )


def _read(path: Path) -> tuple[dict[str, Tensor], RunState]:
    check_bounds(path, _LARGEST)
    with utf8_path(path) as readable, safe_open(readable, framework="pt") as handle:
        metadata = handle.metadata()
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    where = metadata[CHECKPOINT_KEY]
    # Checkpoints of older versions have no checksum.
    if metadata.get(_CHECKSUM_KEY) not in (None, _checksum(where, tensors)):
        raise ValueError("its checksum does not match")
    values = json.loads(where)
    history = [EpochMetrics(**entry) for entry in values.pop("history")]
    return tensors, RunState(**values, history=history)


def _checksum(run_state: str, tensors: dict[str, Tensor]) -> str:
    """SHA-256 of the run's state and of every tensor's name, type, shape and bytes."""
    checksum = hashlib.sha256(run_state.encode())
    for name, value in sorted(tensors.items()):
        checksum.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        checksum.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return checksum.hexdigest()


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
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        for name, value in groups["optimizer"].items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = _laid_out_like(parameters[int(index)], value)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    except (RuntimeError, LookupError, ValueError) as error:
        raise CheckpointError(
            f"{path} is a checkpoint of another network ({str(error).splitlines()[0]})",
            "Resume with the network and recipe that the run was started with.",
        ) from error


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Give what an optimiser keeps of a parameter its layout: another takes twice the time.

    Always a copy: the file is mapped, and Windows replaces none that still is.
    """
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, device="cpu").copy_(value)
