"""Drawing a generated scene: a noisy background, a person, and discs (see `scene.py`)."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from glamor_cli.vision.pairs import Box

Colour = tuple[int, int, int]

FILLS: dict[str, Colour] = {
    "Anger": (226, 32, 38),
    "Disgust": (30, 158, 52),
    "Fear": (176, 40, 204),
    "Happy": (255, 226, 20),
    "Neutral": (28, 206, 220),
    "Sad": (36, 62, 214),
    "Surprise": (250, 132, 12),
}
"""What colour of fill means which emotion."""

RINGS: dict[str, Colour] = {"white": (255, 255, 255), "black": (0, 0, 0), "gray": (112, 112, 112)}
"""What colour of ring each kind of cue has."""

MOUTHS: dict[str, str] = {"white": "grin", "black": "open", "gray": "closed"}
"""Which mouth says that a kind of cue counts."""

RING_SHARE = 0.2
"""Width of the ring as a share of the disc's diameter."""
BUST = (1.45, 1.6)
"""Width and height of head and shoulders together, in heights of the head."""

FACE_SHARE = 0.8
"""Side of the face's box in heights of the head."""

_FACE_CENTRE = 0.6  # of the face's box, from the top of the head
_TILE = 4  # side of the background's tiles at scale 1
_CONTRAST = 24  # largest departure of a tile from the background's own colour
_TINT = 8  # largest departure of a channel of that colour from gray
_SMOOTH = 3  # sprites are drawn this much larger and then reduced, for smooth edges

_SKINS = ((255, 222, 190), (238, 193, 152), (205, 150, 106), (160, 106, 70), (112, 72, 48))
_HAIRS = ((38, 28, 24), (92, 58, 34), (140, 92, 48), (196, 160, 96), (120, 116, 112))
_SHIRTS = ((86, 98, 112), (110, 96, 88), (84, 104, 92), (120, 108, 126), (70, 76, 84))
_LIPS = (150, 30, 40)
_MOUTH_HOLE = (52, 8, 14)
_PUPIL = (24, 20, 20)
_WHITE = (255, 255, 255)


def draw_background(rng: np.random.Generator, scale: int) -> Image.Image:
    """Draw square tiles, each a random step lighter or darker than one hardly tinted gray.

    Light may vary a good deal, but colour belongs to the cues: learning which colours matter is not
    what a scene is to ask of a network.

    Args:
        rng: The scene's source of chance.
        scale: The image is 171 * scale wide and 128 * scale high.
    """
    width, height = 171 * scale, 128 * scale
    rows, columns = -(-128 // _TILE), -(-171 // _TILE)
    base = rng.integers(166, 198) + rng.integers(-_TINT, _TINT + 1, size=3)
    tiles = base + rng.integers(-_CONTRAST, _CONTRAST + 1, size=(rows, columns, 1))
    pixels: NDArray[np.uint8] = tiles.astype(np.uint8)
    pixels = pixels.repeat(_TILE * scale, axis=0).repeat(_TILE * scale, axis=1)
    return Image.fromarray(pixels[:height, :width])


def draw_cue(image: Image.Image, box: Box, *, kind: str, label: str) -> None:
    """Draw a disc that fills ``box``: its ring says the kind, its fill the emotion."""
    sprite = _disc(box.x2 - box.x1, kind, label)
    image.paste(sprite, (box.x1, box.y1), sprite)


def face_box(head: Box) -> Box:
    """Frame brows to chin, as tightly as the authors' detector does, given the head's square."""
    side = head.y2 - head.y1
    half = round(FACE_SHARE * side / 2)
    x, y = (head.x1 + head.x2) // 2, head.y1 + round(_FACE_CENTRE * side)
    return Box(x - half, y - half, x + half, y + half)


def draw_person(image: Image.Image, rng: np.random.Generator, head: Box, mouth: str) -> None:
    """Draw head and shoulders.

    Args:
        image: Changed in place.
        rng: Chooses the colours of skin, hair and shirt, and where the eyes look.
        head: The square around the head; the shoulders lie below it.
        mouth: ``grin``, ``open`` or ``closed``.
    """
    skin, hair, shirt = (
        colours[int(rng.integers(len(colours)))] for colours in (_SKINS, _HAIRS, _SHIRTS)
    )
    glance = float(rng.uniform(-0.015, 0.015))
    side = head.y2 - head.y1
    width, height = round(BUST[0] * side), round(BUST[1] * side)
    sprite = Image.new("RGBA", (width * _SMOOTH, height * _SMOOTH), (*shirt, 0))
    pen = _Pen(ImageDraw.Draw(sprite), centre=width * _SMOOTH / 2, unit=side * _SMOOTH)
    pen.ellipse(0, 1.5, 0.68, 0.48, shirt)  # shoulders
    pen.box(0, 1.0, 0.14, 0.14, _shade(skin, 0.82))  # neck
    pen.ellipse(0, 0.40, 0.42, 0.395, hair)
    pen.ellipse(0, 0.54, 0.36, 0.45, skin)
    pen.ellipse(0, 0.17, 0.30, 0.10, hair)  # fringe
    for eye in (-0.15, 0.15):
        pen.ellipse(eye, 0.44, 0.075, 0.055, _WHITE)
        pen.ellipse(eye + glance, 0.44, 0.04, 0.045, _PUPIL)
        pen.box(eye, 0.345, 0.085, 0.014, _shade(hair, 0.7))  # brow
    pen.box(0, 0.57, 0.022, 0.05, _shade(skin, 0.8))  # nose
    _draw_mouth(pen, mouth)
    sprite = sprite.reduce(_SMOOTH)
    left = (head.x1 + head.x2 - width) // 2
    image.paste(sprite, (left, head.y1), sprite)


def _draw_mouth(pen: "_Pen", mouth: str) -> None:
    """Three mouths that differ in shape, size and brightness, so that none is hard to see."""
    if mouth == "grin":
        pen.half_moon(0, 0.66, 0.26, 0.26, _LIPS)
        pen.half_moon(0, 0.68, 0.225, 0.205, _WHITE)
    elif mouth == "open":
        pen.ellipse(0, 0.79, 0.175, 0.18, _LIPS)
        pen.ellipse(0, 0.79, 0.145, 0.15, _MOUTH_HOLE)
    else:
        pen.box(0, 0.77, 0.15, 0.02, _MOUTH_HOLE)


class _Pen:
    """Draws shapes given by centre and half axes, in heights of the head."""

    def __init__(self, draw: ImageDraw.ImageDraw, *, centre: float, unit: float) -> None:
        self.draw, self.centre, self.unit = draw, centre, unit

    def ellipse(self, x: float, y: float, half_x: float, half_y: float, fill: Colour) -> None:
        self.draw.ellipse(self._corners(x, y, half_x, half_y), fill)

    def box(self, x: float, y: float, half_x: float, half_y: float, fill: Colour) -> None:
        self.draw.rectangle(self._corners(x, y, half_x, half_y), fill)

    def half_moon(self, x: float, y: float, half_x: float, half_y: float, fill: Colour) -> None:
        """Draw the lower half of an ellipse whose centre is (x, y)."""
        self.draw.pieslice(self._corners(x, y, half_x, half_y), 0, 180, fill)

    def _corners(
        self, x: float, y: float, half_x: float, half_y: float
    ) -> tuple[float, float, float, float]:
        middle, unit = self.centre, self.unit
        return (
            middle + (x - half_x) * unit,
            (y - half_y) * unit,
            middle + (x + half_x) * unit,
            (y + half_y) * unit,
        )


@lru_cache(maxsize=64)
def _disc(diameter: int, kind: str, label: str) -> Image.Image:
    """Draw a disc as RGBA [diameter, diameter] with a transparent outside."""
    size = diameter * _SMOOTH
    sprite = Image.new("RGBA", (size, size), (*RINGS[kind], 0))
    draw = ImageDraw.Draw(sprite)
    draw.ellipse((0, 0, size - 1, size - 1), RINGS[kind])
    ring = size * RING_SHARE
    draw.ellipse((ring, ring, size - 1 - ring, size - 1 - ring), FILLS[label])
    return sprite.reduce(_SMOOTH)


def _shade(colour: Colour, share: float) -> Colour:
    """Darken a colour."""
    red, green, blue = (round(value * share) for value in colour)
    return red, green, blue
