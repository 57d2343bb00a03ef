"""The picture of a training's curves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glamor_cli.rendering.colours import BLUE, INK, VERMILION
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style
from glamor_cli.training.epoch_metrics import EpochMetrics

CURVES = "curves.png"
"""What a run's folder calls the picture."""
_LOW = 0.1
"""An accuracy beneath which there is no room below its point."""
_TRAINING = {"color": BLUE, "marker": ".", "label": "train"}
_VALIDATION = {"color": VERMILION, "marker": ".", "label": "validation"}


def save_curves(
    path: Path, history: Sequence[EpochMetrics], title: str, best: EpochMetrics | None
) -> None:
    """Draw loss and accuracy over epochs and write the picture.

    Args:
        path: The picture; written atomically.
        history: The finished epochs, one or more.
        title: Shown above.
        best: The epoch to mark, whose weights are kept.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    figure = draw_curves(history, best)
    figure.suptitle(title)
    save_figure(path, figure)


@own_style()
def draw_curves(history: Sequence[EpochMetrics], best: EpochMetrics | None) -> Figure:
    """Draw loss and accuracy over epochs, side by side.

    Args:
        history: The finished epochs, one or more.
        best: The epoch to mark, whose weights are kept.
    """
    epochs = [entry.epoch for entry in history]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [entry.train_loss for entry in history], **_TRAINING)
    left.plot(epochs, [entry.validation_loss for entry in history], **_VALIDATION)
    right.plot(epochs, [entry.train_accuracy for entry in history], **_TRAINING)
    right.plot(epochs, [entry.validation_accuracy for entry in history], **_VALIDATION)
    for axes, label in ((left, "loss"), (right, "accuracy")):
        axes.set_ylabel(label)
        _show_epochs(axes, epochs)
    if best is not None:
        accuracy = best.validation_accuracy
        # Away from training's point, but near 0 the ticks' labels are below.
        above = accuracy < _LOW or accuracy > best.train_accuracy
        right.plot(
            best.epoch,
            accuracy,
            marker="o",
            markersize=8,
            markerfacecolor="none",
            color=VERMILION,
        )
        right.annotate(
            f"best {accuracy:.1%}",
            (best.epoch, accuracy),
            textcoords="offset points",
            xytext=(0, 8 if above else -14),
            ha="center",
            color=INK,
        )
    right.set_ylim(0, 1.02)
    left.legend(frameon=False)
    return figure


@own_style()
def draw_learning_rate(history: Sequence[EpochMetrics]) -> Figure:
    """Draw the learning rate over epochs, small.

    Args:
        history: The finished epochs, one or more.
    """
    figure = Figure(figsize=(9, 1.7), layout="constrained")
    axes = figure.subplots()
    epochs = [entry.epoch for entry in history]
    axes.plot(epochs, [entry.learning_rate for entry in history], color=BLUE, marker=".")
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
