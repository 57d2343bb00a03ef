"""The processes of one training: alone, or started by torchrun on one machine or many."""

import gc
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib import import_module
from itertools import count
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from glamor_cli.errors import ConfigError, GlamorError, PeerFailed, reason_of
from glamor_cli.system.torchrun import local_rank, processes

_PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others before it gives up; checkpoints are written meanwhile."""
_PLACE = ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")
"""Environment variables that say where the processes meet, and which of how many this is."""
_MEETINGS = count()
"""Numbers the trainings of this process."""
_SEE_ITS_MESSAGE = "See that process's own error message."


@dataclass(frozen=True)
class World:
    """This process among those of a training.

    Attributes:
        rank: Its number, from 0; process 0 alone writes files and reports progress.
        size: How many there are.
        device: What it computes on; under torchrun each process has a GPU of its own.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    @property
    def shared(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def total(self, *values: float) -> tuple[float, ...]:
        """Sum each value over all processes, in float64; every process gets the same."""
        if not self.shared:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        return tuple(sums.tolist())

    def fail(self, error: GlamorError) -> NoReturn:
        """Raise what all processes found alike: the first one reports it, the others just end.

        Raises:
            GlamorError: ``error``, in process 0.
            PeerFailed: In all others.
        """
        raise error if self.leads else PeerFailed("process 0 failed", _SEE_ITS_MESSAGE)

    def agree(self, facts: Mapping[str, object]) -> None:
        """Check that all processes know the same: different ones would train nonsense, or hang.

        Args:
            facts: What is compared, as JSON, under the name that an error gives it.

        Raises:
            ConfigError: They do not; the message names the first difference.
            PeerFailed: In all processes but the first.
        """
        if not self.shared:
            return
        digests = [_digest(value) for value in facts.values()]
        least = torch.tensor(digests, dtype=torch.int64, device=self.device)
        most = least.clone()
        dist.all_reduce(least, dist.ReduceOp.MIN)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        for name, same in zip(facts, (least == most).tolist(), strict=True):
            if not same:
                self.fail(
                    ConfigError(
                        f"the processes of this training differ in {name}",
                        "Give all the same command and --precision, the same store, and a run "
                        "folder they share.",
                    )
                )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run a block that any process may fail in; where one does, none goes on.

        Raises:
            GlamorError: In the first process that failed, its own error.
            PeerFailed: In all others.
        """
        error: GlamorError | None = None
        try:
            yield
        except GlamorError as caught:
            error = caught
        if self.shared:
            failed = torch.tensor(self.rank if error else self.size, device=self.device)
            dist.all_reduce(failed, dist.ReduceOp.MIN)
            first = int(failed)
            if first not in (self.rank, self.size):
                raise PeerFailed(f"process {first} of this training failed", _SEE_ITS_MESSAGE)
        if error is not None:
            raise error


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Meet the other processes that torchrun started; alone, there is nothing to do.

    Args:
        device: ``cpu`` (gloo) or ``cuda`` (nccl; each process takes the GPU of its local rank).

    Raises:
        ConfigError: The machine has fewer GPUs than processes, or torchrun's settings are broken.
        PeerFailed: Another process is gone; the last checkpoint is what is left of the run.
    """
    size = processes()
    if size == 1:
        yield World(device)
        return
    if device.type == "cuda":
        local = local_rank()
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} of this machine finds {torch.cuda.device_count()} GPUs",
                "Start torchrun with at most as many processes as the machine has GPUs.",
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    # Its default arguments would keep the processes connected if it were imported after they met.
    import_module("torch.distributed.nn.functional")
    try:
        store, rank = _meeting_place(*map(os.environ.get, _PLACE))
        # The store keeps the addresses of the training before, at which nobody listens any more.
        store = PrefixStore(f"training {next(_MEETINGS)}", store)
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=size,
            timeout=_PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the processes of this training do not find each other ({reason_of(error)})",
            "Start them with torchrun, and check its address and port.",
        ) from error
    try:
        yield World(device, dist.get_rank(), size)
    except RuntimeError as error:
        if not _is_of_another_process(error):
            raise
        raise PeerFailed(
            f"another process of this training has ended ({reason_of(error)})",
            "See that process's own error message, then go on with --resume.",
        ) from error
    finally:
        # Only the last reference's end ends gloo's threads; in Python's last moments one of them
        # that still lets go of a tensor would abort the process, its work done or not.
        gc.collect()
        dist.destroy_process_group()


@cache
def _meeting_place(*place: str | None) -> tuple[Store, int]:  # noqa: ARG001 - what it depends on
    """Find where the processes leave their addresses, and this process's number.

    Other launchers than torchrun let process 0 keep that place. It must outlast a training: one
    that is ahead of process 0 would wait for the next at a place about to be closed.
    """
    store, rank, _ = next(rendezvous("env://", timeout=_PATIENCE))
    return store, rank


def _is_of_another_process(error: RuntimeError) -> bool:
    """Tell whether nccl, which has an exception of its own, or gloo, which has none, complains."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)


def _digest(fact: object) -> int:
    """Hash a value to 64 bits, alike in all processes."""
    digest = hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
