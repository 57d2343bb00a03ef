"""The page that shows a training while it runs: open it once, it reloads itself until the end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from glamor_cli import __version__
from glamor_cli.counts import count
from glamor_cli.rendering.pages import draw_svg, write_page
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.curves import draw_curves, draw_learning_rate
from glamor_cli.training.epoch_metrics import EpochMetrics

LIVE_REPORT = "training.html"
_RELOAD_SECONDS = 60
"""Least time between two reloads."""
_SHOWN = 12
"""Epochs in the table; those before are folded away."""


@dataclass(frozen=True)
class _Fact:
    """A figure at the page's head: what, how much, and something about it."""

    name: str
    value: str
    note: str


def write_live_report(
    config: TrainConfig,
    history: Sequence[EpochMetrics],
    best: EpochMetrics | None,
    judged_by: str,
    *,
    stopped: bool = False,
) -> None:
    """Write ``training.html`` into the run's folder: curves, the last epochs, and the settings.

    It reloads itself while epochs are left and nobody stopped the run. Like the report of
    ``glamor evaluate`` it needs no network and no other file.

    Args:
        config: The run.
        history: The finished epochs, one or more.
        best: The one whose weights are kept; None while faces are still small.
        judged_by: What validation is on, as in ``TrainResult``.
        stopped: Nobody trains any more, so that there is nothing to reload for.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    epochs = config.recipe.epochs
    left = epochs - len(history)
    # An epoch is what changes the page; shorter ones would leave no time to read.
    pause = max(_RELOAD_SECONDS, math.ceil(history[-1].seconds))
    write_page(
        config.run / LIVE_REPORT,
        "training.html.j2",
        {
            "run": config.run.resolve().name,
            "version": __version__,
            "reload": None if stopped or left <= 0 else pause,
            "pause": _duration(pause),
            "done": len(history),
            "epochs": epochs,
            "all_epochs": count(epochs, "epoch"),
            "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "figures": _figures(history, best, left),
            "curves": draw_svg(
                draw_curves(history, best),
                "curves",
                f"Loss and accuracy over {count(len(history), 'epoch')}",
            ),
            "rate": draw_svg(draw_learning_rate(history), "rate", "Learning rate over the epochs"),
            "rows": list(reversed(history[-_SHOWN:])),
            "earlier": list(reversed(history[:-_SHOWN])),
            "best": None if best is None else best.epoch,
            "facts": _facts(config, judged_by),
        },
    )


def _figures(history: Sequence[EpochMetrics], best: EpochMetrics | None, left: int) -> list[_Fact]:
    last = history[-1]
    gap = last.train_accuracy - last.validation_accuracy
    seconds = sum(entry.seconds for entry in history) / len(history)
    return [
        _Fact(
            "best validation accuracy",
            "–" if best is None else f"{best.validation_accuracy:.1%}",
            "none yet: faces are still small" if best is None else f"epoch {best.epoch}",
        ),
        _Fact(
            "last validation accuracy",
            f"{last.validation_accuracy:.1%}",
            f"training is {abs(gap) * 100:.1f} points {'above' if gap >= 0 else 'below'} it",
        ),
        _Fact(
            "validation loss",
            f"{last.validation_loss:.3f}",
            f"training {last.train_loss:.3f}",
        ),
        _Fact(
            "left" if left > 0 else "took",
            _duration(seconds * (left if left > 0 else len(history))),
            f"{last.images_per_second:.0f} pairs/s, validation not counted",
        ),
    ]


def _facts(config: TrainConfig, judged_by: str) -> dict[str, Any]:
    recipe, network = config.recipe, config.network
    return {
        "Store": f"{config.store}, learning from {config.train_split}, validated on {judged_by}",
        "Network": f"{network.encoder} encoders, {network.variant}, {network.classes} classes",
        "Recipe": f"{recipe.name}: {count(recipe.epochs, 'epoch')}, "
        f"batches of {recipe.batch_size}, "
        f"{recipe.optimizer}, learning rate {recipe.learning_rate:g}",
        "Seed": config.seed,
        "Start": str(config.initial_weights or "random weights"),
        **({} if config.teacher is None else {"Teacher": str(config.teacher)}),
        "Device": f"{config.device}, precision {config.precision}",
    }


def _duration(seconds: float) -> str:
    """Write a time as people say it: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
