"""The picture of a training's curves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glamor_cli.atomic import atomic_path
from glamor_cli.pages import BLUE, VERMILION

_TRAINING, _VALIDATION = BLUE, VERMILION


def draw_curves(path: Path, history: Sequence[dict[str, float]], title: str) -> None:
    """Draw loss and accuracy over epochs as a PNG.

    Args:
        path: The picture; written atomically.
        history: The entries of ``metrics.jsonl``.
        title: Shown above.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    figure = make_curves(history, max(history, key=lambda entry: entry["validation_accuracy"]))
    figure.suptitle(title)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)


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
        right.annotate(
            f"best {best['validation_accuracy']:.1%}",
            (best["epoch"], best["validation_accuracy"]),
            textcoords="offset points",
            xytext=(0, -14),
            ha="center",
            color=_VALIDATION,
        )
    right.set_ylim(0, 1)
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
