"""The strip below an annotated picture: one card per face, and the legend."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glamor_cli.counts import count
from glamor_cli.predict.predictions import FacePrediction, ImagePrediction
from glamor_cli.rendering.colours import (
    CONTEXT_COLOUR,
    FACE_COLOUR,
    FAINT,
    INK,
    PAPER,
    emotion_colour,
    ink_on,
)
from glamor_cli.rendering.heat import blend_heat, overlay_attention
from glamor_cli.system.extras import find_in_package
from glamor_cli.vision.attention_map import note_of
from glamor_cli.vision.pairs import Box

CARD_WIDTH = 13
"""Least width of a card, in heights of its text."""
_THUMBNAIL_SHAPE = 0.75
"""Most height of a card's thumbnail, as a share of its width."""
_MOST_CARDS = 60
"""Faces that get a card, the most confident; a JPEG holds 65,500 rows, and nobody reads as many."""
_DEJAVU = "mpl-data/fonts/ttf/DejaVuSans.ttf"
"""Matplotlib's font, which has more letters than Pillow's; that has those of English alone."""


@dataclass(frozen=True)
class Style:
    """Sizes in pixels, all following the picture's.

    Attributes:
        text: Height of text.
        small: Height of lesser text.
        line: Width of boxes' lines.
        gap: Space between things.
        font_file: The font; None for Pillow's.
    """

    text: int
    small: int
    line: int
    gap: int
    font_file: Path | None = None

    @classmethod
    def of(cls, long_side: int, classes: Iterable[str]) -> "Style":
        """Choose sizes for a picture by its longer side, and a font that can write the emotions."""
        text = round(float(np.clip(long_side / 55, 17, 30)))
        english = all(name.isascii() for name in classes)
        return cls(
            text,
            small=round(text * 0.85),
            line=max(2, round(text / 6)),
            gap=round(text * 0.55),
            font_file=None if english else find_in_package("matplotlib", _DEJAVU),
        )

    @property
    def font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """The font of labels."""
        return self._font(self.text)

    @property
    def small_font(self) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """The font of lesser text."""
        return self._font(self.small)

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if self.font_file is None:
            return ImageFont.load_default(size)
        return ImageFont.truetype(self.font_file, size)


def ellipsis(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: float,
) -> str:
    """Shorten a text to a width, marking that something is missing."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "...", font) > width:
        text = text[:-1]
    return text.rstrip() + "..."


def scale_box(box: Box, scale: float) -> Box:
    """Bring a box to a picture of another size, where it is at least a pixel large."""
    x1, y1, x2, y2 = (round(edge * scale) for edge in box)
    return Box(x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))


def draw_box(picture: Image.Image, box: Box, colour: str, line: int) -> None:
    """Draw a box just outside its pixels, with dark edges that keep it visible on any picture."""
    draw = ImageDraw.Draw(picture)
    for by, ink, width in ((line + 1, INK, line + 2), (line, colour, line)):
        outer = (box.x1 - by, box.y1 - by, box.x2 - 1 + by, box.y2 - 1 + by)
        draw.rectangle(outer, outline=ink, width=width)


def draw_strip(
    prediction: ImagePrediction, picture: Image.Image, width: int, style: Style
) -> Image.Image:
    """Draw the strip: a card per face (with its attention, if there are several) and a legend.

    Of very many faces the first have cards, and a line counts the others.

    Args:
        prediction: The answers.
        picture: The plain picture, for the insets.
        width: The strip's width in pixels.
        style: Sizes.
    """
    faces = prediction.faces[:_MOST_CARDS]
    others = len(prediction.faces) - len(faces)
    columns = max(1, (width - style.gap) // (CARD_WIDTH * style.text))
    if len(faces) == 1:
        columns = 1
    else:
        # As few rows as fit, evenly filled; a few faces leave room rather than fill it.
        evenly = -(-len(faces) // -(-len(faces) // columns)) if faces else 1
        columns = max(evenly, min(3, columns))
    cell = (width - style.gap) // columns
    thumbnail = _thumbnail(picture, cell - style.gap) if len(faces) > 1 else None
    card_height = round(style.text * 4.2) + (thumbnail.height + style.gap if thumbnail else 0)
    rows = -(-len(faces) // columns)
    line_height = round(style.small * 2.4)
    cards_end = style.gap + rows * card_height
    lines = 2 if others else 1
    strip = Image.new("RGB", (width, cards_end + lines * line_height), PAPER)
    draw = ImageDraw.Draw(strip)
    for index, face in enumerate(faces):
        x = style.gap + index % columns * cell
        y = style.gap + index // columns * card_height
        if thumbnail is not None:
            inset = _inset(thumbnail, face, prediction, style)
            strip.paste(inset, (x, y))
            y += thumbnail.height + style.gap
        tag = str(index + 1) if thumbnail is not None else ""
        _draw_card(_Card(draw, x, y, cell - style.gap, style), tag, face, prediction.classes)
    if others:
        place = (style.gap, cards_end + style.small * 1.1)
        draw.text(place, f"and {count(others, 'more face')}", FAINT, style.small_font, anchor="lm")
    # One face that looked somewhere needs the legend.
    note = min((note_of(face.attention) for face in faces), default="no face found")
    _draw_legend(strip, cards_end + (lines - 1) * line_height, note, style)
    return strip


def _thumbnail(picture: Image.Image, width: int) -> Image.Image:
    """Shrink the picture into a card."""
    small = picture.copy()
    small.thumbnail((width, round(width * _THUMBNAIL_SHAPE)), Image.Resampling.LANCZOS)
    return small


def _inset(
    thumbnail: Image.Image, face: FacePrediction, prediction: ImagePrediction, style: Style
) -> Image.Image:
    """Draw one face's attention over the thumbnail, and its box."""
    assert prediction.image is not None  # noqa: S101 - annotate() has checked
    # By the longer sides: of a narrow picture whole pixels tell the width's share too roughly.
    box = scale_box(face.box, max(thumbnail.size) / max(prediction.image.shape[:2]))
    inset = Image.fromarray(overlay_attention(np.asarray(thumbnail), face.attention, box))
    draw_box(inset, box, emotion_colour(prediction.classes, face.emotion), style.line - 1)
    return inset


@dataclass(frozen=True)
class _Card:
    """Where a card's text goes, in pixels of the strip."""

    draw: ImageDraw.ImageDraw
    x: int
    y: int
    width: int
    style: Style


def _draw_card(card: _Card, tag: str, face: FacePrediction, classes: tuple[str, ...]) -> None:
    """Draw a card's text: number, emotion, second choice, and the two streams as one bar."""
    draw, style, x, y = card.draw, card.style, card.x, card.y
    best, second = face.first_two
    colour = emotion_colour(classes, best)
    side = max(style.text * 1.3, draw.textlength(tag, style.font) + style.gap)
    draw.rectangle((x, y, x + side, y + style.text * 1.3), fill=colour, outline=INK)
    middle = y + style.text * 0.65
    draw.text((x + side / 2, middle), tag, ink_on(colour), style.font, anchor="mm")
    x_text, x_end = x + side + style.gap, x + card.width
    sure = f"{face.probabilities[best]:.0%}"
    room = x_end - x_text - draw.textlength(f" {sure}", style.font)
    title = f"{ellipsis(draw, classes[best], style.font, room)} {sure}"
    draw.text((x_text, middle), title, INK, style.font, anchor="lm")
    used = x_text + draw.textlength(title, style.font) + 2 * style.gap
    then = f"then {classes[second]} {face.probabilities[second]:.0%}"
    if used + draw.textlength(then, style.small_font) <= x_end:
        draw.text((used, middle), then, FAINT, style.small_font, anchor="lm")
    _draw_streams(card, round(y + style.text * 1.75), float(face.stream_weights[0]))


def _draw_streams(card: _Card, y: int, share: float) -> None:
    """Draw how much face and context weigh: a bar of two colours, the shares written in it."""
    draw, style, x = card.draw, card.style, card.x
    width = min(card.width, style.text * 22)
    height = round(style.small * 1.35)
    border = x + round(width * share)
    draw.rectangle((x, y, x + width, y + height), fill=CONTEXT_COLOUR)
    if border > x:
        draw.rectangle((x, y, border, y + height), fill=FACE_COLOUR)
    middle = y + height / 2
    for text, left, right, anchor, colour in (
        (f"face {share:.0%}", x, border, "lm", FACE_COLOUR),
        (f"context {1 - share:.0%}", border, x + width, "rm", CONTEXT_COLOUR),
    ):
        # A share too small for its text is told by the other's.
        if draw.textlength(text, style.small_font) + style.gap <= right - left:
            at = left + style.gap / 2 if anchor == "lm" else right - style.gap / 2
            draw.text((at, middle), text, ink_on(colour), style.small_font, anchor=anchor)


def _draw_legend(strip: Image.Image, y: int, note: str, style: Style) -> None:
    """Say what the colours mean."""
    draw = ImageDraw.Draw(strip)
    # English in every picture, and a narrow picture has just the room for it in this font.
    font = ImageFont.load_default(style.small)
    middle = y + style.small * 1.1
    x: float = style.gap
    if note:
        draw.text((x, middle), note, FAINT, font, anchor="lm")
        return
    bar_width, bar_height = style.text * 5, round(style.small * 0.9)
    # Of all variants: not in all of them it is the face that decides.
    before, after = "attention: a little", "most"
    draw.text((x, middle), before, FAINT, font, anchor="lm")
    x += draw.textlength(before, font) + style.gap
    ramp = np.tile(np.linspace(0, 1, bar_width, dtype=np.float32), (bar_height, 1))
    gray = np.full((bar_height, bar_width, 3), 150, np.uint8)
    strip.paste(Image.fromarray(blend_heat(gray, ramp)), (round(x), round(middle - bar_height / 2)))
    x += bar_width + style.gap
    draw.text((x, middle), after, FAINT, font, anchor="lm")
    x += draw.textlength(after, font) + 3 * style.gap
    draw.text((x, middle), "darkened: outside its view", FAINT, font, anchor="lm")
