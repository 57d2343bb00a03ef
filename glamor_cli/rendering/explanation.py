"""The picture of an explanation, drawn with matplotlib's object-oriented interface."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from glamor_cli.network.config import CONTEXT_SIZE
from glamor_cli.predict.explain import Explanation
from glamor_cli.predict.saved_names import MARK
from glamor_cli.rendering.colours import CONTEXT_COLOUR, FACE_COLOUR, GRAY, INK, emotion_colour
from glamor_cli.rendering.figure_files import save_figure
from glamor_cli.rendering.heat import blend_heat, overlay_attention
from glamor_cli.rendering.insets import scale_box
from glamor_cli.rendering.own_style import own_style
from glamor_cli.rendering.plain_names import plain_name
from glamor_cli.vision.attention_map import attention_region, has_peak, upsample_attention
from glamor_cli.vision.pairs import to_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 130
_SHOWN = 1000
"""Longer side of the photograph as drawn, in pixels."""
_CROP = 448
"""Side of the context as drawn: a multiple of its 112 pixels."""
_WIDE = 2
"""From this shape on, width over height, a photograph is drawn above the rest."""
_LONGEST_FILE, _LONGEST_CLASS = 40, 24
"""Letters of names as drawn."""
_MOST_CLASSES = 12
"""For which the picture has room."""
_CLASS_HEIGHT = 0.25
"""Inches by which it grows for each that is more."""


def save_explanation(path: Path, explanation: Explanation) -> None:
    """Draw an explanation and write it atomically.

    Args:
        path: The picture; its ending chooses the format.
        explanation: What to draw.

    Raises:
        ConfigError: The folder cannot be written to, or the ending is not a picture's.
    """
    figure = draw_explanation(explanation)
    save_figure(path, figure, _DPI, comment=MARK)


@own_style()
def draw_explanation(explanation: Explanation) -> "Figure":
    """Draw the photograph with attention, the pair, the streams, the answers and the changes."""
    # Imported late: matplotlib takes half a second to load, which --help should not pay.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    height, width = explanation.image.shape[:2]
    photograph: Any
    pair: Any
    bars: Any
    more = _CLASS_HEIGHT * max(0, len(explanation.classes) - _MOST_CLASSES)
    if width > _WIDE * height:
        # Beside the rest a panorama would be a narrow strip: it goes above.
        across = 12.5 * height / width + 0.75
        figure = Figure(figsize=(13, across + 5 + more), layout=layout, facecolor="white")
        photograph, below = figure.subfigures(2, 1, height_ratios=(across, 5 + more))  # type: ignore[misc]
        pair, bars = below.subfigures(1, 2)
    else:
        figure = Figure(figsize=(13, 7.6 + more), layout=layout, facecolor="white")
        photograph, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))  # type: ignore[misc]
        pair, bars = right.subfigures(2, 1, height_ratios=(3, 4.65 + more))
    _draw_photograph(photograph.subplots(), explanation)
    face_axes, context_axes = pair.subplots(1, 2)
    _draw_pair(face_axes, context_axes, explanation)
    changes = len(explanation.hidden) + 1
    stream_axes, answer_axes, change_axes = bars.subplots(
        3, 1, height_ratios=(0.9, len(explanation.classes), changes * 1.15)
    )
    _draw_streams(stream_axes, explanation)
    _draw_answers(answer_axes, explanation)
    _draw_changes(change_axes, explanation)
    return figure


def _draw_photograph(axes: Any, explanation: Explanation) -> None:
    from matplotlib.patches import Rectangle

    height, width = explanation.image.shape[:2]
    scale = min(1.0, _SHOWN / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = np.asarray(Image.fromarray(explanation.image).resize(size, Image.Resampling.LANCZOS))
    box = scale_box(explanation.face.box, scale)
    axes.imshow(overlay_attention(picture, explanation.face.attention, box))
    best = explanation.face.emotion
    colour = emotion_colour(explanation.classes, best)
    # Pixel i covers i - 0.5 to i + 0.5 in matplotlib's coordinates.
    corner, sides = (box.x1 - 0.5, box.y1 - 0.5), (box.x2 - box.x1, box.y2 - box.y1)
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=INK, linewidth=5))
    axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor=colour, linewidth=3))
    if explanation.most is not None:
        left, top, right, bottom = attention_region(size[1], size[0])
        across, down = (right - left) / CONTEXT_SIZE, (bottom - top) / CONTEXT_SIZE
        region = explanation.most
        frame = Rectangle(
            (left + region.x1 * across - 0.5, top + region.y1 * down - 0.5),
            (region.x2 - region.x1) * across,
            (region.y2 - region.y1) * down,
            fill=False,
        )
        frame.set(edgecolor="white", linestyle="--", linewidth=1.6)
        axes.add_patch(frame)
    count = f", face {explanation.number} of {explanation.faces}" if explanation.faces > 1 else ""
    axes.set_title(
        _plain(Path(explanation.source).name, _LONGEST_FILE) + count, fontsize=12, loc="left"
    )
    note = "dashed: the most attended square; darkened: outside its view"
    axes.set_xlabel(note if explanation.most is not None else "", fontsize=9, loc="left")
    _bare(axes)


def _draw_pair(face_axes: Any, context_axes: Any, explanation: Explanation) -> None:
    face_axes.imshow(to_picture(explanation.pair.face))
    face_axes.set_title("face", fontsize=10)
    context = Image.fromarray(to_picture(explanation.pair.context))
    large = np.asarray(context.resize((_CROP, _CROP), Image.Resampling.NEAREST))
    looked = has_peak(explanation.face.attention)
    if looked:
        large = blend_heat(large, upsample_attention(explanation.face.attention, _CROP, _CROP))
    context_axes.imshow(large)
    context_axes.set_title("context, and attention" if looked else "context", fontsize=10)
    _bare(face_axes)
    _bare(context_axes)


def _draw_streams(axes: Any, explanation: Explanation) -> None:
    face, context = (float(weight) for weight in explanation.face.stream_weights)
    axes.barh(0, face, color=FACE_COLOUR)
    axes.barh(0, context, left=face, color=CONTEXT_COLOUR)
    axes.text(0, 0.55, f"face {face:.0%}", ha="left", va="bottom", fontsize=10)
    axes.text(1, 0.55, f"context {context:.0%}", ha="right", va="bottom", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.45, 1.3)
    axes.set_axis_off()


def _draw_answers(axes: Any, explanation: Explanation) -> None:
    """Draw all probabilities, the first choice in its colour and the second outlined in its."""
    probabilities = explanation.face.probabilities
    best, second = explanation.face.first_two
    for index, value in enumerate(probabilities):
        colour = emotion_colour(explanation.classes, index)
        chosen = index == best
        axes.barh(
            index,
            value,
            color=colour if chosen else "#ECECEC",
            edgecolor=colour if index == second else INK if chosen else GRAY,
            linewidth=2 if index == second else 0.6,
        )
        note = "  first choice" if chosen else "  second choice" if index == second else ""
        weight = "bold" if chosen else "normal"
        axes.text(value + 0.01, index, f"{value:.1%}{note}", va="center", fontsize=9, weight=weight)
    axes.set_yticks(range(len(probabilities)), [_plain(name) for name in explanation.classes])
    axes.invert_yaxis()
    _probability_axis(axes)
    axes.set_title("answer", fontsize=10, loc="left")


def _draw_changes(axes: Any, explanation: Explanation) -> None:
    """Draw what is left of the first choice, and which emotion is first then."""
    best = explanation.face.emotion
    cases = [("nothing", explanation.face.probabilities)]
    cases += [(case.what, case.probabilities) for case in explanation.hidden]
    colour = emotion_colour(explanation.classes, best)
    name = _plain(explanation.classes[best])
    for row, (_, probabilities) in enumerate(cases):
        value, now = float(probabilities[best]), int(probabilities.argmax())
        axes.barh(row, value, color=colour, edgecolor=INK, linewidth=0.6)
        text = f"{value:.1%}"
        if now != best:
            text += f"  now {_plain(explanation.classes[now])} {probabilities[now]:.1%}"
        axes.text(value + 0.01, row, text, va="center", fontsize=9)
    axes.set_yticks(range(len(cases)), [what for what, _ in cases])
    axes.invert_yaxis()
    _probability_axis(axes)
    axes.set_title(f"probability of {name} if this is hidden", fontsize=10, loc="left")


def _probability_axis(axes: Any) -> None:
    # Beyond 1 there is room for the figures behind full bars.
    axes.set_xlim(0, 1.4)
    axes.set_xticks(())
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _bare(axes: Any) -> None:
    axes.set_xticks(())
    axes.set_yticks(())
    axes.spines[:].set_visible(False)


def _plain(name: str, longest: int = _LONGEST_CLASS) -> str:
    return plain_name(name, longest, middle=True)
