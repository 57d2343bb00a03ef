"""The picture of a video's emotions over time: a panel for each person."""

import math
from collections.abc import Iterator
from itertools import chain, count, groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.predict.saved_names import MARK
from glamor_cli.predict.timeline import Line, Timeline
from glamor_cli.rendering.colours import FAINT, emotion_colour, ink_on
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.plain_names import plain_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_WIDTH = 11.0
"""Inches."""
_PANEL = 1.25
"""Height of a person's panel in inches."""
_MOST_PANELS = 8
_LONGEST = 24
"""Letters of a class's name."""
_LONGEST_TITLE = 80
"""Letters of the video's."""
_LETTER = 0.007
"""Width of a letter of a label, as a share of the panel's."""
_MOST_COLUMNS = 7
_LEGEND_POINTS, _LEGEND_PATCH, _LEGEND_ROW = 10, 0.7, 0.22
"""Of the legend: size of its letters, width of a patch with the space around it and height of a
row, these in inches."""
_MOST_MISSED = 2
"""Points that somebody may miss without being shown as out of sight: detectors miss faces."""
_CLOCK_FROM = 120
"""Seconds of a video from which on its times are written as players do."""
_CLOCK_STEPS = (30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
"""Seconds between two ticks that are round times of day; then days, doubled as often as needed."""
_MOST_TICKS = 8
_LEAST_WIDTH = 0.004
"""Width of somebody seen in one frame, as a share of the panel's."""
_LEAST_BAND = 0.16
"""Height that a band needs for its label, as a share of the panel's."""


def save_timeline(path: Path, timeline: Timeline, title: str) -> None:
    """Draw a timeline as a picture.

    Each person's panel stacks the smoothed probabilities of all emotions, which sum to 1, while
    the person is seen. The colours are told apart by people of any colour vision; the bands lie in
    the legend's order and the leading ones are named where they lead.

    Args:
        path: The picture; its ending chooses the format.
        timeline: At least one person's.
        title: What stands above: the video's name.

    Raises:
        ConfigError: The folder cannot be written to, or the ending is not a picture's.
    """
    figure = draw_timeline(timeline, title)
    save_figure(path, figure, _DPI, comment=MARK)


@own_style()
def draw_timeline(timeline: Timeline, title: str) -> "Figure":
    """Draw a timeline; see ``save_timeline``."""
    # Imported late: matplotlib takes half a second to load, which --help should not pay.
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    from matplotlib.textpath import TextPath

    lines = timeline.lines()
    # The ones seen longest, in the order of appearing.
    longest = sorted(lines, key=lambda line: -line.frames)[:_MOST_PANELS]
    kept = sorted(longest, key=lambda line: line.track)
    names = [plain_name(name, _LONGEST) for name in timeline.classes]
    paths = (TextPath((0, 0), name, size=_LEGEND_POINTS) for name in names)
    # A point is the 72nd part of an inch.
    entry = _LEGEND_PATCH + max(path.get_extents().width for path in paths) / 72
    columns = min(_MOST_COLUMNS, len(names), int(_WIDTH / entry))
    legend = _LEGEND_ROW * (math.ceil(len(names) / columns) - 1)
    figure = Figure(figsize=(_WIDTH, 1.3 + _PANEL * len(kept) + legend), layout="constrained")
    panels = figure.subplots(len(kept), 1, sharex=True, squeeze=False)[:, 0]
    colours = [emotion_colour(timeline.classes, index) for index in range(len(timeline.classes))]
    # A single frame fills its panel: it has a time, but no length.
    end, least = (timeline.end, _LEAST_WIDTH * timeline.end) if timeline.end else (1.0, 1.0)
    for axes, line in zip(panels, kept, strict=True):
        for part in _seen(line):
            times, shares = _drawable(line.times[part], line.probabilities[part], end, least)
            axes.stackplot(times, shares.T, colors=colours, edgecolor="white", linewidth=0.4)
            _name_leaders(axes, times, shares, timeline.classes, end)
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1])
        axes.set_ylabel(f"person {line.track}")
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("time in the video")
    panels[-1].xaxis.set_major_formatter(lambda value, _: _clock(value, end))
    if timeline.end == 0 or end >= _CLOCK_FROM:
        panels[-1].set_xticks(_round_times(timeline.end))
    figure.suptitle(plain_name(title, _LONGEST_TITLE, middle=True), fontsize=12)
    handles = [
        Patch(facecolor=colour, edgecolor=FAINT, linewidth=0.5, label=name)
        for name, colour in zip(names, colours, strict=True)
    ]
    figure.legend(
        # Bands are stacked upwards, so that the first name's is the lowest.
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=_LEGEND_POINTS,
        title=_note(len(lines) - len(kept) + timeline.forgotten),
        title_fontsize=9,
    )
    return figure


def _note(left_out: int) -> str:
    note = "smoothed probabilities, stacked from the bottom in this order"
    if not left_out:
        return note
    others = "1 more person is" if left_out == 1 else f"{left_out} more people are"
    return f"{note}; {others} left out: these were seen longest"


def _seen(line: Line) -> Iterator[slice]:
    """Cut a line where the person was out of sight."""
    cuts = [0, *(np.flatnonzero(line.missed[1:] > _MOST_MISSED) + 1), len(line.times)]
    return (slice(start, stop) for start, stop in pairwise(cuts))


def _drawable(
    times: NDArray[np.float64], shares: NDArray[np.float64], end: float, least: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a width even to somebody seen in one frame."""
    if times[-1] - times[0] < least:
        middle = min(max((times[0] + times[-1]) / 2, least / 2), end - least / 2)
        times = np.array([middle - least / 2, middle + least / 2])
        shares = np.repeat(shares.mean(axis=0, keepdims=True), 2, axis=0)
    return times, shares


def _name_leaders(
    axes: Any,
    times: NDArray[np.float64],
    shares: NDArray[np.float64],
    classes: tuple[str, ...],
    end: float,
) -> None:
    """Write the leading emotion's name into its band, wherever it leads for long enough."""
    tops = shares.cumsum(axis=1)
    for leader, run in groupby(range(len(times)), lambda index: int(shares[index].argmax())):
        indices = list(run)
        name = plain_name(classes[leader], _LONGEST)
        if times[indices[-1]] - times[indices[0]] < _LETTER * (len(name) + 1) * end:
            continue
        middle = (times[indices[0]] + times[indices[-1]]) / 2
        height = np.interp(middle, times, shares[:, leader])
        if height < _LEAST_BAND:
            continue
        axes.text(
            middle,
            np.interp(middle, times, tops[:, leader]) - height / 2,
            name,
            ha="center",
            va="center",
            fontsize=9,
            color=ink_on(emotion_colour(classes, leader)),
        )


def _clock(seconds: float, end: float) -> str:
    """Write a time as players do where seconds would be hard to read."""
    if end < _CLOCK_FROM:
        return f"{seconds:g} s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _round_times(end: float) -> NDArray[np.float64]:
    """Give the ticks' seconds, as close to each other as leaves few enough."""
    steps = chain(_CLOCK_STEPS, (86400 << doubled for doubled in count()))
    step = next(step for step in steps if end < _MOST_TICKS * step)
    return step * np.arange(end // step + 1)
