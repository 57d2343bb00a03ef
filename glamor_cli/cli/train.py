"""``glamor train``: learn from a pair store."""

from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glamor_cli.cli.durations import parse_seconds
from glamor_cli.cli.long_progress import long_progress
from glamor_cli.cli.render import ShowProgress, console, exit_stopped, say, say_notes
from glamor_cli.cli.runtime_options import (
    DeviceOption,
    EncoderOption,
    EpochsOption,
    RecipeOption,
    ThreadsOption,
    TrainPrecisionOption,
    TrainStoreArgument,
)
from glamor_cli.counts import count
from glamor_cli.data.split_names import TRAIN_SPLIT
from glamor_cli.errors import ConfigError, GlamorError
from glamor_cli.files.kinds import is_file
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.runtimes.options import Device
from glamor_cli.settings import MAX_SEED
from glamor_cli.system.torchrun import is_follower, processes
from glamor_cli.training.interrupts import CHECKPOINT_SECONDS
from glamor_cli.training.options import RecipeName, TrainPrecision

if TYPE_CHECKING:
    from glamor_cli.training.config import TrainConfig
    from glamor_cli.training.progress import Progress, TrainResult


def train(
    store: TrainStoreArgument,
    run: Annotated[Path, typer.Option(help="Folder for the run.")] = Path("runs/train"),
    recipe: RecipeOption = RecipeName.MODERN,
    network: EncoderOption = NetworkConfig.encoder,
    variant: Annotated[
        Variant, typer.Option(help="The whole network, or an ablation.")
    ] = NetworkConfig.variant,
    epochs: EpochsOption = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Overrides the recipe.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", min=0, help="Overrides the recipe.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed.")] = 0,
    train_split: Annotated[
        str, typer.Option(help="Split to learn from; data without splits are used whole.")
    ] = TRAIN_SPLIT,
    validation_split: Annotated[
        str | None,
        typer.Option(
            help="Split to choose the best epoch by; default: validation, val, valid or a held-out "
            "tenth."
        ),
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Weights to start from: a name or a .safetensors file.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Network that teaches: weights, or a face classifier's .onnx."),
    ] = None,
    teacher_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the teacher's answers in each target; overrides the recipe.",
        ),
    ] = None,
    mix: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Mix up to this share of another pair into each (mixup)."),
    ] = None,
    precision: TrainPrecisionOption = TrainPrecision.AUTO,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    checkpoint_every: Annotated[
        str, typer.Option(help="Save at least this often: 30s, 10min.")
    ] = f"{CHECKPOINT_SECONDS / 60:g}min",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="The same bits on every run, on a GPU too.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --run, or begin it.")
    ] = False,
) -> None:
    """Train a network. Ctrl-C saves, and --resume goes on.

    With several processes: torchrun --nproc-per-node 2 --no-python -- glamor train STORE ...
    """
    console.quiet = is_follower()
    display = _Display(run)
    try:
        # Within, because Python and torch take long to load, and a stop then is told too.
        from glamor_cli.data.store.pair_store import PairStore
        from glamor_cli.data.store.shared_images import note_shared
        from glamor_cli.training.config import TrainConfig
        from glamor_cli.training.recipes import find_recipe
        from glamor_cli.training.trainer import train as run_training
        from glamor_cli.training.validation_notes import validation_notes

        if teacher_share is not None and teacher is None:
            raise ConfigError(
                "--teacher-share is given, but there is no teacher",
                "Give one with --teacher, or leave --teacher-share out.",
            )
        config = TrainConfig(
            store=store,
            run=run,
            recipe=find_recipe(
                recipe,
                epochs=epochs,
                batch_size=batch,
                learning_rate=learning_rate,
                teacher_share=teacher_share,
                mix=mix,
            ),
            network=NetworkConfig(encoder=network, variant=variant),
            seed=seed,
            train_split=train_split,
            validation_split=validation_split,
            initial_weights=None if init is None else _find_trainable(init),
            teacher=None if teacher is None else _find_teacher(teacher),
            precision=precision,
            device=device,
            threads=threads,
            checkpoint_every=parse_seconds(checkpoint_every, "--checkpoint-every"),
            deterministic=deterministic,
        )
        if not console.quiet:
            # What is wrong here the training finds, too, once all processes have met: one that
            # waits for others does not hear that they have ended, and torchrun waits for it.
            with suppress(GlamorError) if processes() > 1 else nullcontext():
                opened = PairStore.open(store)
                say_notes([*note_shared(opened, train_split), *validation_notes(config, opened)])
        with long_progress("starting", "images", counted="steps") as show:
            result = run_training(
                config,
                resume=resume,
                on_progress=partial(display.show_step, show),
                on_damaged=_say_damaged,
            )
    except KeyboardInterrupt:
        # From its first step on, the run saves by itself.
        if not display.begun:
            say("stopped before the first step; nothing to save")
        raise
    _say_result(config, result, begun=display.begun)


class _Display:
    """Shows a run's steps in a progress bar.

    Attributes:
        begun: Whether there was one.
    """

    def __init__(self, run: Path) -> None:
        self.begun = False
        self._run = run

    def show_step(self, show: ShowProgress, progress: "Progress") -> None:
        """Show how far the run is, and before its first step where its curves will be."""
        if not self.begun:
            from glamor_cli.training.live_report import LIVE_REPORT

            self.begun = True
            say(f"curves after each epoch in {self._run / LIVE_REPORT}")
        # The run's last line stays on screen, where it would be taken for that of its own epoch.
        judged = progress.validation_accuracy if progress.done < progress.total else None
        best = "" if judged is None else f"  validation {judged:.1%}"
        where = f"epoch {progress.epoch}/{progress.epochs}"
        show(
            progress.done,
            progress.total,
            doing=f"{where}  loss {progress.loss:.3f}{best}",
            rate=progress.images_per_second,
        )


def _say_damaged(checkpoint: Path, reason: str) -> None:
    say(f"{checkpoint} is damaged ({reason}) and was put aside; going on from the one before")


def _say_result(config: "TrainConfig", result: "TrainResult", *, begun: bool) -> None:
    """Say what came of a run; one that was stopped ends the command.

    Args:
        config: What was asked for.
        result: What became of it.
        begun: Whether anything was left to do.
    """
    from glamor_cli.training.config import BEST

    if not result.finished:
        first = config.recipe.first_whole_epoch
        small = ", when faces have their full size" if first > 1 else ""
        later = f"; {BEST} is kept from epoch {first} on{small}"
        exit_stopped(
            f"{count(result.epochs, 'epoch')} finished, and everything is saved"
            + (later if result.epochs < first else ""),
            "Go on with the same command and --resume.",
        )
    if not begun:
        # A stop after the very last step leaves the validation.
        say(f"{config.run} had no steps left to take")
    say(
        f"best validation accuracy {result.best_accuracy:.2%} on {result.judged_by} "
        f"in epoch {result.best_epoch}: {config.run / BEST}"
    )


def _find_teacher(name_or_path: str) -> Path:
    """Find weights, or take the ONNX file of a classifier that is not ours."""
    path = Path(name_or_path)
    return path if path.suffix == ".onnx" and is_file(path) else _find_trainable(name_or_path)


def _find_trainable(name_or_path: str) -> Path:
    """Find weights that a training can read.

    Raises:
        ConfigError: There are none, or they are exported ones.
    """
    from glamor_cli.weights.registry import find_weights

    path = find_weights(name_or_path, kinds=(".safetensors",))
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"training cannot read the exported file {path}",
            "Give the .safetensors file that it was exported from, or the name of weights.",
        )
    return path
