"""Training: one call begins a run in its folder, or goes on with it where it was stopped."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path

import torch

from glamor_cli.runtimes.torch import choose_device
from glamor_cli.system.exact_float32 import exact_float32
from glamor_cli.training.checkpoints import has_checkpoint, lock_run
from glamor_cli.training.config import (
    TrainConfig,
    check_can_begin,
    keep_precision,
    settle_precision,
)
from glamor_cli.training.memory import keep_freed_memory
from glamor_cli.training.precision import repeatable
from glamor_cli.training.progress import Progress, TrainResult
from glamor_cli.training.run import Run
from glamor_cli.training.splits import settle_train_split
from glamor_cli.training.world import join_world


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_damaged: Callable[[Path, str], None] = lambda *_: None,
) -> TrainResult:
    """Train a network on a pair store.

    The run's folder receives ``config.json``, ``metrics.jsonl`` (a line an epoch), ``curves.png``,
    ``training.html`` (the curves again, reloading itself), ``best.safetensors`` (what every command
    takes as ``--weights``) and the checkpoint. SIGINT, SIGTERM and SIGHUP end it after the step in
    progress, with everything saved.

    Started by torchrun, several processes train one network: they share every batch, compute what
    one process would, and the first of them writes.

    Trainings at the same time need a process each: in threads of one they would disturb each
    other's random numbers, which are torch's own.

    Args:
        config: What to do.
        resume: Go on with the run in the folder.
        on_progress: Called after every step.
        on_damaged: Called with the last checkpoint and what is wrong with it, where it is damaged
            and the run goes on from the one before; it is now ``damaged.safetensors``.

    Raises:
        ConfigError: The folder holds another run or other files, another process is training in it,
            settings that cannot work, or processes that were given different ones.
        DataError: The store cannot be used, or the loss is no longer a finite number.
        CheckpointError: The checkpoint or the initial weights cannot be used.
        BackendUnavailable: The device is not here.
        PeerFailed: Another process of the same training is gone.
    """
    with (
        exact_float32(),
        repeatable(config.deterministic),
        join_world(torch.device(choose_device(config.device))) as world,
        ExitStack() as held,
    ):
        with world.together():
            config = settle_precision(config, world.device)
            check_can_begin(config, resume=resume)
            config = settle_train_split(config)
            held.enter_context(_process_settings(config, world.device))
            run = Run(config, world)
        if world.shared:
            world.agree(run.foundations())
        with world.together():
            if world.leads:
                run.require_in_place = held.enter_context(lock_run(config.run))
            run.begin(on_damaged)
        world.agree({"the checkpoint they go on from": asdict(run.state)})
        return run.go(on_progress)


def begin_or_resume(config: TrainConfig, on_progress: Callable[[Progress], None]) -> TrainResult:
    """Train as ``train`` does, going on with the run in the folder where there is one.

    One begun where ``auto`` chose another precision goes on in that.
    """
    resume = has_checkpoint(config.run)
    return train(keep_precision(config), resume=resume, on_progress=on_progress)


@contextmanager
def _process_settings(config: TrainConfig, device: torch.device) -> Iterator[None]:
    """Set what holds for this process as a whole; the caller's program gets its own back.

    That is the number of threads, of what kind new tensors are, torch's generators, which every
    step seeds, and how freed memory is kept.
    """
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices),
        keep_freed_memory() if device.type == "cpu" else nullcontext(),
    ):
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(kind)
