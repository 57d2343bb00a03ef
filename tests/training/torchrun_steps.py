"""Ten steps of trainings in float64, alone or under torchrun: give STORE OUT COMMAND...

float32's own rounding moves the gradients of early kernels by half a percent, batch norms being
what they are; in float64 what is left is a mistake. After the steps of all `RECIPES`, each COMMAND
of glamor is run, in which $RANK is this process's number: another torchrun would load torch anew.
"""

import os
import shlex
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from glamor_cli.__main__ import main as glamor
from glamor_cli.training.average import start_average
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.progress import Progress
from glamor_cli.training.recipes import MODERN, PAPER, SmallFaces
from glamor_cli.training.run import Run
from glamor_cli.training.world import World, join_world

# 28 pairs in batches of 3: no batch can be halved, and of the tenth one process has nothing.
RECIPES = {
    "everything": replace(
        MODERN,
        epochs=3,
        batch_size=3,
        gradient_clip=0.5,
        synthetic_contexts=0.5,
        mix=0.5,
        small_faces=(SmallFaces(until=0.4, size=48),),
    ),
    "paper": replace(PAPER, epochs=3, batch_size=3),
}
STEPS = 10


def main() -> None:
    """Take the steps, and write parameters and losses; run the commands, and print their ends."""
    store, out, *commands = sys.argv[1:]
    torch.set_num_threads(1)
    for name in RECIPES:
        # They meet anew for each, as in a program that trains several times.
        with join_world(torch.device("cpu")) as world:
            take_steps(Path(store), Path(out), name, world)
    for command in commands:
        sys.argv = ["glamor", *shlex.split(os.path.expandvars(command))]
        try:
            glamor()
        except SystemExit as end:
            sys.stdout.write(f"glamor ended with {end.code or 0}\n")
    # One that is left may abort the process while Python ends, after all the work is done.
    deadline = time.monotonic() + 10
    while any("gloo" in name for name in threads()):
        assert time.monotonic() < deadline, threads()


def take_steps(store: Path, out: Path, name: str, world: World) -> None:
    """Take one recipe's."""
    config = TrainConfig(
        store,
        out / f"run-{name}-{world.size}-{world.rank}",
        RECIPES[name],
        precision=TrainPrecision.FP32,
    )
    run = Run(config, world)
    run.begin(print)
    run.network.double()
    run.average = start_average(run.network) if run.recipe.ema_decay else None
    augment = run._augment

    def in_double(*arguments: object) -> tuple[torch.Tensor, ...]:
        return tuple(images.double() for images in augment(*arguments))

    run._augment = in_double
    losses: list[float] = []

    def stop_at_ten(progress: Progress) -> None:
        losses.append(progress.loss)
        if len(losses) == STEPS:
            os.kill(os.getpid(), signal.SIGINT)

    run.go(stop_at_ten)
    if world.leads:
        values = run.network.state_dict() | {"losses": torch.tensor(losses).double()}
        values |= {f"average/{key}": value for key, value in (run.average or {}).items()}
        values = {key: value.contiguous() for key, value in values.items()}
        save_file(values, out / f"{name}-{world.size}.safetensors")


def threads() -> list[str]:
    """Name this process's threads; one that has just ended may still be among them."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            names.append((task / "comm").read_text().strip())
    return names


if __name__ == "__main__":
    main()
