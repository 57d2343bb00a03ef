"""The picture of a training's curves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from glamor_cli.atomic import atomic_path

# Okabe and Ito's blue and vermilion: told apart by colour-blind readers.
_TRAINING, _VALIDATION = "#0072B2", "#D55E00"


def draw_curves(path: Path, history: Sequence[dict[str, float]], title: str) -> None:
    """Draw loss and accuracy over epochs as a PNG.

    Args:
        path: The picture; written atomically.
        history: The entries of ``metrics.jsonl``.
        title: Shown above.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    epochs = [entry["epoch"] for entry in history]
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    for axes, key, label in ((left, "loss", "loss"), (right, "accuracy", "accuracy")):
        for prefix, colour in (("train", _TRAINING), ("validation", _VALIDATION)):
            values = [entry[f"{prefix}_{key}"] for entry in history]
            axes.plot(epochs, values, color=colour, marker=".", label=prefix)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    best = max(history, key=lambda entry: entry["validation_accuracy"])
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
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
