"""The picture of a confusion matrix, drawn with matplotlib without a display."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glamor_cli.counts import count
from glamor_cli.evaluation.metrics import Metrics
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.plain_names import plain_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
_LONGEST_NAME = 18


def save_confusion(path: Path, metrics: Metrics) -> None:
    """Draw the confusion matrix as a picture.

    Colour shows the share of each label's pairs, so that rare classes are seen as well as
    frequent ones; each cell says the count and, below, that share.

    Args:
        path: The picture; its ending chooses the format.
        metrics: The evaluation's figures.

    Raises:
        ConfigError: The folder cannot be written to, or the ending is not a picture's.
    """
    figure = draw_confusion(metrics)
    save_figure(path, figure, _DPI)


@own_style()
def draw_confusion(metrics: Metrics) -> "Figure":
    """Draw the confusion matrix; see ``save_confusion``."""
    # Late, because it takes half a second, which an evaluation without a report should not pay.
    from matplotlib.figure import Figure

    classes = len(metrics.classes)
    support = metrics.confusion.sum(axis=1, keepdims=True)
    shares = metrics.confusion / np.maximum(support, 1)
    side = max(4.5, 1.6 + 0.72 * classes)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [plain_name(name, _LONGEST_NAME) for name in metrics.classes]
    axes.set_xticks(range(classes), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(
        range(classes), [f"{name} ({n})" for name, n in zip(names, support[:, 0], strict=True)]
    )
    axes.set_xlabel("answer")
    axes.set_ylabel("label (pairs)")
    axes.set_title(
        f"{metrics.accuracy:.1%} of {count(metrics.count, 'pair')} right, "
        f"macro-F1 {metrics.macro_f1:.3f}",
        fontsize=11,
    )
    for row in range(classes):
        for column in range(classes):
            pairs, share = metrics.confusion[row, column], shares[row, column]
            if pairs:
                ink = "white" if share > 0.72 else "black"
                text = f"{pairs}\n{share:.0%}"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.7, label="share of the label's pairs")
    bar.outline.set_visible(False)
    return figure
