"""Pictures of an attention report, drawn with matplotlib's object-oriented interface."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.data.scenes.cues import Cue
from glamor_cli.evaluation.attention.hiding import Curves
from glamor_cli.evaluation.attention.measure import to_crop
from glamor_cli.evaluation.attention.options import MapKind
from glamor_cli.evaluation.attention.run import AttentionReport, ShownPair
from glamor_cli.evaluation.attention.summary import summarise_hiding
from glamor_cli.network.config import CONTEXT_SIZE
from glamor_cli.rendering.colours import (
    BLUE,
    CONTEXT_COLOUR,
    FAINT,
    INK,
    VERMILION,
    emotion_colour,
)
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.heat import blend_heat, mute
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.plain_names import plain_name
from glamor_cli.vision.attention_map import upsample_attention
from glamor_cli.vision.pairs import to_picture

GALLERY, HIDING, STREAMS = "gallery.png", "hiding.png", "streams.png"

_DPI = 140
# Each with a line of its own, for readers who see no colours.
_LINES = {MapKind.ATTENTION: (BLUE, "-"), MapKind.GRAD_CAM: (VERMILION, "--")}
_RANDOM_LINE = (FAINT, ":")
_ACROSS = 336
"""Side of a context as drawn: a multiple of its 112 pixels."""
_MARGIN = 9
_LONGEST = 14
_ROOM = 1.05
"""How far an axis goes, as a multiple of the highest point on it: a line there has a width."""
_LEAST_COST = 0.05
"""Least extent of the axis of costs, so that one of next to nothing does not fill it."""


def save_figures(folder: Path, report: AttentionReport) -> list[Path]:
    """Draw a report's pictures into a folder.

    Args:
        folder: Made if it is missing; receives ``gallery.png``, ``hiding.png``, ``streams.png``.
        report: What was measured.

    Returns:
        The pictures.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    drawn = {
        GALLERY: draw_gallery(report),
        HIDING: draw_hiding(report),
        STREAMS: draw_streams(report),
    }
    for name, figure in drawn.items():
        save_figure(folder / name, figure, _DPI)
    return [folder / name for name in drawn]


@own_style()
def draw_gallery(report: AttentionReport) -> Figure:
    """Draw a pair of each class side by side: face, context, attention, Grad-CAM.

    On scenes the deciding disc is framed in every map.
    """
    columns = 2 + len(report.methods)
    blocks = 2 if len(report.shown) > 1 else 1
    rows = -(-len(report.shown) // blocks)
    size = (1.5 * columns * blocks + 0.4, 1.86 * rows + 0.55)
    # Pictures keep their shape; uncompressed, what that leaves over pushes the headings out.
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0, compress=True)
    figure = Figure(figsize=size, layout=layout)
    grid = figure.subplots(rows, columns * blocks, squeeze=False)
    for axes in grid.flat[len(report.shown) * columns :]:
        axes.set_axis_off()
    for number, pair in enumerate(report.shown):
        row, block = divmod(number, blocks)
        own = grid[row, block * columns : (block + 1) * columns]
        _draw_pair(own, report, pair)
        for axes in own:
            axes.set_xticks(())
            axes.set_yticks(())
            axes.spines[:].set_visible(False)
        if row == 0:
            names = ("context", *(kind.heading for kind in report.methods))
            for axes, name in zip(own[1:], names, strict=True):
                axes.set_title(name, fontsize=9, color=INK)
    classes = len(report.shown)
    note = "a pair of one class" if classes == 1 else f"pairs of {classes} classes"
    if report.shown[0].cue:
        note = "framed: the disc that decides"
    figure.supxlabel(f"{plain_name(report.weights.name, 40)}; {note}", fontsize=9, color=FAINT)
    return figure


@own_style()
def draw_hiding(report: AttentionReport) -> Figure:
    """Draw the deletion and insertion curves, and what hiding one square costs."""
    figure = Figure(figsize=(11.5, 3.9), layout="constrained")
    deletion, insertion, costs = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    lines = {kind.heading: (one.curves, _LINES[kind]) for kind, one in report.methods.items()}
    lines["random order"] = (report.random_curves, _RANDOM_LINE)
    _draw_curves(deletion, lines, "deletion", "context hidden, most important first")
    _draw_curves(insertion, lines, "insertion", "context shown, most important first")
    top = max(axes.dataLim.y1 for axes in (deletion, insertion))
    for axes in (deletion, insertion):
        axes.set_ylim(0, _ROOM * top)
    deletion.set_ylabel("probability of the answer")
    _draw_costs(costs, report)
    return figure


@own_style()
def draw_streams(report: AttentionReport) -> Figure:
    """Draw the context's share in the fusion and the attention's entropy, class by class."""
    labels = [int(label) for label in np.unique(report.labels)]
    figure = Figure(figsize=(9.5, 1.5 + 0.42 * len(labels)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    rng = np.random.default_rng(0)
    entropy = report.methods[MapKind.ATTENTION].entropy
    for axes, values in ((left, report.stream_weights[:, 1]), (right, entropy)):
        for row, label in enumerate(labels):
            own = values[report.labels == label]
            height = row + rng.uniform(-0.22, 0.22, len(own))
            axes.scatter(own, height, s=11, color=CONTEXT_COLOUR, alpha=0.75, linewidths=0)
            axes.plot([own.mean()] * 2, (row - 0.34, row + 0.34), color=INK, linewidth=2)
        axes.set_xlim(-0.02, 1.02)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    counts = np.bincount(report.labels, minlength=len(report.classes))
    left.set_yticks(
        range(len(labels)),
        [f"{plain_name(report.classes[label], _LONGEST)} ({counts[label]})" for label in labels],
    )
    left.invert_yaxis()
    left.set_xlabel("context's share in the fusion; bar: mean")
    right.set_xlabel("entropy of the attention: 0 one cell, 1 even")
    return figure


def _draw_pair(axes: NDArray[Any], report: AttentionReport, pair: ShownPair) -> None:
    label, answer = int(report.labels[pair.row]), int(report.answers[pair.row])
    axes[0].imshow(to_picture(pair.face))
    if not pair.found:
        note = "no face\nwas found"
        axes[0].text(48, 48, note, ha="center", va="center", fontsize=8, color="white")
    names = [plain_name(report.classes[index], _LONGEST) for index in (answer, label)]
    said = f"{names[0]} {report.probabilities[pair.row, answer]:.0%}"
    axes[0].text(
        0.5,
        -0.04,
        said if label == answer else f"{said}\nis {names[1]}",
        transform=axes[0].transAxes,
        ha="center",
        va="top",
        fontsize=8,
        color=INK,
        fontweight="bold" if label == answer else "normal",
    )
    colour = emotion_colour(report.classes, answer)
    axes[0].add_patch(Rectangle((0, 0), 95, 95, fill=False, edgecolor=colour, linewidth=3))
    context = to_picture(pair.context)
    large = np.asarray(
        Image.fromarray(context).resize((_ACROSS, _ACROSS), Image.Resampling.LANCZOS)
    )
    axes[1].imshow(large)
    for own, measures in zip(axes[2:], report.methods.values(), strict=True):
        heat = upsample_attention(measures.maps[pair.row], _ACROSS, _ACROSS)
        own.imshow(blend_heat(mute(large), heat))
        if pair.cue is not None:
            _frame(own, pair.cue)
    if pair.cue is not None:
        _frame(axes[1], pair.cue)


def _frame(axes: Any, cue: Cue) -> None:
    """Frame the deciding disc: white on black, visible on anything."""
    edges = to_crop(cue.box, cue.width, cue.height)
    x1, y1, x2, y2 = (edge * _ACROSS / CONTEXT_SIZE for edge in edges)
    corner, sides = (x1 - _MARGIN, y1 - _MARGIN), (x2 - x1 + 2 * _MARGIN, y2 - y1 + 2 * _MARGIN)
    for ink, width in ((INK, 3.2), ("white", 1.6)):
        axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=ink, linewidth=width))


def _draw_curves(
    axes: Any, lines: dict[str, tuple[Curves, tuple[str, str]]], title: str, label: str
) -> None:
    for name, (curves, (colour, style)) in lines.items():
        values = (curves.deletion if title == "deletion" else curves.insertion).mean(axis=0)
        area = curves.deletion_area if title == "deletion" else curves.insertion_area
        axes.plot(
            curves.shares * 100,
            values,
            color=colour,
            linestyle=style,
            linewidth=2,
            label=f"{name}: {area:.3f}",
        )
    better = "the lower the better" if title == "deletion" else "the higher the better"
    axes.set_title(f"{title}: {better}", fontsize=10, loc="left")
    axes.set_xlabel(f"% of the {label}")
    axes.legend(frameon=False, fontsize=8, title="area under it", title_fontsize=8)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_costs(axes: Any, report: AttentionReport) -> None:
    """Draw what hiding a square costs, as bars with their standard errors."""
    rows: list[tuple[str, NDArray[np.float32], str]] = []
    for kind, measures in report.methods.items():
        rows.append((f"where {kind.heading}\nis highest", measures.costs.drops, _LINES[kind][0]))
    rows.append(("anywhere", report.random_costs.drops, _RANDOM_LINE[0]))
    for row, (_, values, colour) in enumerate(rows):
        # A single pair has no spread.
        error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
        axes.barh(row, values.mean(), 0.6, color=colour, xerr=error or None, ecolor=INK, capsize=3)
        end = max(0.0, float(values.mean()) + error)
        axes.annotate(
            f"{values.mean():z.3f}",
            (end, row),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=9)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    left, right = axes.get_xlim()
    axes.set_xlim(left, max(right, left + _LEAST_COST))
    axes.locator_params(axis="x", nbins=4)  # more of three decimals run into each other
    ratio = summarise_hiding(report, report.methods[MapKind.ATTENTION]).shown_ratio
    times = "" if ratio is None else f"\nattention: {ratio:.1f} times that anywhere"
    side = report.config.hiding.side
    axes.set_title(f"{side}x{side} pixels hidden", fontsize=10, loc="left")
    axes.set_xlabel(f"fall of the answer's probability{times}")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
