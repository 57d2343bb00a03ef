"""The picture of an ablation: accuracy of each variant, and where its attention peaks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from glamor_cli.ablation.table import MEANINGS, VariantResult, with_deviation
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Variant
from glamor_cli.rendering.colours import BLUE, FAINT, INK
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style

_DPI = 140
# The whole network in colour, its parts in gray.
_WHOLE, _PART = BLUE, "#A9A9A9"


def save_ablation(path: Path, table: Sequence[VariantResult], discs: int | None = None) -> None:
    """Draw an ablation's table and write it atomically.

    Args:
        path: The picture; its ending chooses the format.
        table: At least one line.
        discs: How many a generated scene has, so that what one stream alone can know is marked.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    figure = draw_ablation(table, discs)
    save_figure(path, figure, _DPI)


@own_style()
def draw_ablation(table: Sequence[VariantResult], discs: int | None = None) -> Figure:
    """Draw a bar for each variant's mean, a point for each seed, and the deviation as a line.

    On scenes, where attention was measured against the cues, a second panel shows its peaks.
    """
    peaks = any(line.peaks for line in table)
    figure = Figure(figsize=(10.5 if peaks else 7.2, 1.5 + 0.62 * len(table)), layout="constrained")
    panels = figure.subplots(1, 2 if peaks else 1, sharey=True, squeeze=False)[0]
    values = [(line.accuracies, line.mean, line.deviation) for line in table]
    _draw_panel(panels[0], table, values)
    panels[0].set_title("accuracy, %", fontsize=11, loc="left", pad=18)
    names = [f"{MEANINGS[line.variant]}\n{line.variant}" for line in table]
    panels[0].set_yticks(range(len(table)), names, fontsize=9)
    note = "bar: mean; point: a seed; line: standard deviation"
    if max(len(line.runs) for line in table) == 1:
        note = "one seed each"
    if discs is not None:
        # What face and context alone can know of generated scenes (`data/scenes/scene.py`).
        bounds = {f"1/{count}": 1 / count for count in (len(EMOTIONS), discs)}
        note += f"; dotted: the most that face and context alone allow ({' and '.join(bounds)})"
        _draw_bounds(panels[0], bounds)
    if peaks:
        found = [(line.peaks, line.near_cue, line.near_cue_deviation) for line in table]
        _draw_panel(panels[1], table, found)
        panels[1].set_title(
            "attention peaks within a cell of the cue, %", fontsize=11, loc="left", pad=18
        )
    figure.supxlabel(note, fontsize=8.5, color=FAINT)
    return figure


def _draw_panel(
    axes: Any,
    table: Sequence[VariantResult],
    values: Sequence[tuple[tuple[float, ...], float | None, float | None]],
) -> None:
    for row, (line, (points, mean, deviation)) in enumerate(zip(table, values, strict=True)):
        if mean is None:
            reason = "not measured" if line.variant.attends else "looks at no place"
            axes.text(1, row, reason, va="center", fontsize=9, color=FAINT)
            continue
        colour = _WHOLE if line.variant is Variant.FULL else _PART
        axes.barh(row, 100 * mean, 0.62, color=colour, alpha=0.55)
        if deviation is not None:
            ends = (100 * (mean - deviation), 100 * (mean + deviation))
            axes.plot(ends, (row, row), color=INK, linewidth=1.4)
        spread = [row + 0.14 * (n - (len(points) - 1) / 2) for n in range(len(points))]
        axes.scatter([100 * p for p in points], spread, s=22, color=colour, edgecolor=INK, zorder=3)
        end = 100 * max(*points, mean, mean + (deviation or 0))
        axes.annotate(
            with_deviation(mean, deviation),
            (end, row),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
            fontweight="bold" if line.variant is Variant.FULL else "normal",
        )
    # Beyond 100 there is room for the figures behind full bars.
    axes.set_xlim(0, 134)
    axes.set_xticks(range(0, 101, 20))
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_bounds(axes: Any, bounds: dict[str, float]) -> None:
    """Mark what one stream alone allows."""
    for name, share in bounds.items():
        axes.axvline(100 * share, color=INK, linewidth=1, linestyle=":")
        axes.annotate(
            name,
            (100 * share, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8.5,
            color=FAINT,
            ha="center",
        )
