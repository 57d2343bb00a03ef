"""The colours of every picture, chart and page."""

from collections.abc import Sequence

# Okabe and Ito's palette, told apart by people of any colour vision.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

INK, FAINT, PAPER = "#1A1A1A", "#5C5C5C", "#FFFFFF"
"""Text, lesser text and lines, background."""
GRAY = "#C8C8C8"
"""Things that are there but do not matter."""

FACE_COLOUR, CONTEXT_COLOUR = BLUE, ORANGE
"""The two streams."""

_EMOTION_COLOURS = {
    "Anger": VERMILION,
    "Disgust": GREEN,
    "Fear": PURPLE,
    "Happy": YELLOW,
    "Neutral": GRAY,
    "Sad": BLUE,
    "Surprise": SKY,
}
_PALETTE = (*_EMOTION_COLOURS.values(), ORANGE)

_EQUAL_CONTRAST = 0.18
"""The luminance that black and white contrast with alike, by WCAG's ratio."""


def emotion_colour(classes: Sequence[str], index: int) -> str:
    """Give an emotion's colour as #RRGGBB, the same in every picture.

    Classes of other names take the colours that are left, in turn.
    """
    if classes[index] in _EMOTION_COLOURS:
        return _EMOTION_COLOURS[classes[index]]
    taken = {_EMOTION_COLOURS.get(name) for name in classes}
    left = [colour for colour in _PALETTE if colour not in taken]
    others = [name for name in classes if name not in _EMOTION_COLOURS]
    return left[others.index(classes[index]) % len(left)]


def ink_on(colour: str) -> str:
    """Choose black or white, whichever is easier to read on a colour (WCAG's luminance)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return INK if luminance > _EQUAL_CONTRAST else PAPER
