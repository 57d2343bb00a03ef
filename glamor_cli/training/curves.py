"""The picture of a training's curves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glamor_cli.network.config import FACE_SIZE
from glamor_cli.rendering.colours import BLUE, VERMILION
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.training.recipes import Recipe

_TRAINING, _VALIDATION = BLUE, VERMILION


def best_epoch(
    history: Sequence[dict[str, float]], recipe: Recipe | None = None
) -> dict[str, float] | None:
    """Find the epoch whose weights a run keeps; None while faces are still small.

    Args:
        history: The entries of ``metrics.jsonl``.
        recipe: Whose epochs on smaller faces are left out: their weights are never kept.
    """
    eligible = [
        entry
        for entry in history
        if recipe is None or recipe.face_size(int(entry["epoch"]) - 1) == FACE_SIZE
    ]
    return max(eligible, key=lambda entry: entry["validation_accuracy"], default=None)


def draw_curves(
    path: Path, history: Sequence[dict[str, float]], title: str, recipe: Recipe | None = None
) -> None:
    """Draw loss and accuracy over epochs as a PNG.

    Args:
        path: The picture; written atomically.
        history: The entries of ``metrics.jsonl``, one or more.
        title: Shown above.
        recipe: What was trained by; the epoch that it keeps is marked.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    figure = make_curves(history, best_epoch(history, recipe))
    figure.suptitle(title)
    save_figure(path, figure)


def make_curves(
    history: Sequence[dict[str, float]], best: dict[str, float] | None = None
) -> Figure:
    """Draw loss and accuracy over epochs, side by side.

    Args:
        history: The entries of ``metrics.jsonl``, one or more.
        best: The entry to mark.
    """
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, key, label in ((left, "loss", "loss"), (right, "accuracy", "accuracy")):
        for prefix, colour in (("train", _TRAINING), ("validation", _VALIDATION)):
            values = [entry[f"{prefix}_{key}"] for entry in history]
            axes.plot(epochs, values, color=colour, marker=".", label=prefix)
        axes.set_ylabel(label)
        _show_epochs(axes, epochs)
    if best is not None:
        right.plot(
            best["epoch"],
            best["validation_accuracy"],
            marker="o",
            markersize=8,
            markerfacecolor="none",
            color=_VALIDATION,
        )
        right.annotate(
            f"best {best['validation_accuracy']:.1%}",
            (best["epoch"], best["validation_accuracy"]),
            textcoords="offset points",
            xytext=(0, -14),
            ha="center",
            color=_VALIDATION,
        )
    right.set_ylim(0, 1.02)
    left.legend(frameon=False)
    return figure


def draw_learning_rate(history: Sequence[dict[str, float]]) -> Figure:
    """Draw the learning rate over epochs, small.

    Args:
        history: The entries of ``metrics.jsonl``, one or more.
    """
    figure = Figure(figsize=(9, 1.7), layout="constrained")
    axes = figure.subplots()
    epochs = [entry["epoch"] for entry in history]
    axes.plot(epochs, [entry["learning_rate"] for entry in history], color=_TRAINING, marker=".")
    axes.set_ylabel("learning rate")
    axes.set_ylim(bottom=0)
    _show_epochs(axes, epochs)
    return figure


def _show_epochs(axes: Axes, epochs: Sequence[float]) -> None:
    """Give a chart whole epochs below, also where there is only one."""
    axes.set_xlabel("epoch")
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
