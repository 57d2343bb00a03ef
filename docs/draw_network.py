"""Draw the network as `docs/network.svg`, with the sizes that the code has.

    uv run python docs/draw_network.py

The pictures in it are the pair that `glamor` makes of NASA's photograph of Eileen Collins (public
domain; scikit-image carries it). The attention's cells are an example, not an answer.
"""

import base64
import io
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import skimage.data
from PIL import Image

from glamor_cli.files.atomic import write_text
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE, NetworkConfig
from glamor_cli.network.encoders import FILTERS
from glamor_cli.rendering.colours import (
    CONTEXT_COLOUR,
    FACE_COLOUR,
    FAINT,
    INK,
    PAPER,
    emotion_colour,
)
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.pairs import make_pair, round_box, to_picture

TARGET = Path(__file__).parent / "network.svg"
WIDTH, HEIGHT = 1210, 440
LINE = "#8A8A8A"
TINTS = {FACE_COLOUR: "#E3F0F8", CONTEXT_COLOUR: "#FDF3DC", FAINT: "#F1F1F1"}
FACE_ROW, CONTEXT_ROW = 112, 318
"""Middle of the two streams, in units of the drawing."""


class Drawing:
    """An SVG that grows element by element."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Draw a rounded box with its middle's height at y."""
        self.parts.append(
            f'<rect x="{x}" y="{y - height / 2}" width="{width}" height="{height}" rx="8" '
            f'fill="{TINTS[colour]}" stroke="{colour}" stroke-width="1.6"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float = 13,
        anchor: str = "middle",
        colour: str = INK,
        bold: bool = False,
    ) -> None:
        """Write a line."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}"{weight}>{escape(words)}</text>'
        )

    def block(
        self, x: float, y: float, width: float, height: float, colour: str, *lines: str
    ) -> None:
        """Draw a box with a heading and lesser lines."""
        self.box(x, y, width, height, colour)
        top = y - (len(lines) - 1) * 8 + 5
        for number, words in enumerate(lines):
            first = number == 0
            self.text(
                x + width / 2,
                top + 17 * number,
                words,
                size=15.5 if first else 13,
                colour=INK if first else FAINT,
                bold=first,
            )

    def arrow(self, *points: tuple[float, float], colour: str = LINE) -> None:
        """Draw a line through points with a head at its end."""
        path = " L".join(f"{x} {y}" for x, y in points)
        self.parts.append(
            f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8" '
            f'marker-end="url(#head-{colour[1:]})"/>'
        )

    def picture(self, x: float, y: float, side: float, pixels: np.ndarray, colour: str) -> None:
        """Show uint8 [H, W, 3] as a square with its middle's height at y."""
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "JPEG", quality=88)
        data = base64.b64encode(encoded.getvalue()).decode("ascii")
        self.parts.append(
            f'<image x="{x}" y="{y - side / 2}" width="{side}" height="{side}" '
            f'href="data:image/jpeg;base64,{data}"/>'
            f'<rect x="{x}" y="{y - side / 2}" width="{side}" height="{side}" fill="none" '
            f'stroke="{colour}" stroke-width="2"/>'
        )

    def svg(self) -> str:
        """Give the whole file."""
        heads = "".join(
            f'<marker id="head-{colour[1:]}" viewBox="0 0 8 8" refX="7" refY="4" '
            f'markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" '
            f'fill="{colour}"/></marker>'
            for colour in (LINE, FACE_COLOUR, CONTEXT_COLOUR)
        )
        # A card of its own colour reads alike on light and dark pages.
        card = (
            f'<rect x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="12" fill="{PAPER}" '
            f'stroke="#D0D0D0"/>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="system-ui, -apple-system, '
            f"'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
            f"<title>GLAMOR-Net</title>\n<defs>{heads}</defs>\n{card}\n"
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )


def main() -> None:
    """Draw and write."""
    config = NetworkConfig()
    drawing = Drawing()
    _draw_streams(drawing, config)
    _draw_attention(drawing, config)
    _draw_fusion(drawing, config)
    write_text(TARGET, drawing.svg())


def _draw_streams(drawing: Drawing, config: NetworkConfig) -> None:
    """Draw both inputs, both encoders, and the vectors they give."""
    image = skimage.data.astronaut()
    found = open_detector().detect(image)
    pair = make_pair(image, round_box(found.boxes[0]))
    filters = " · ".join(str(n) for n in FILTERS)
    rows = (
        ("face", pair.face, FACE_SIZE, FACE_ROW, FACE_COLOUR),
        ("context, face masked", pair.context, CONTEXT_SIZE, CONTEXT_ROW, CONTEXT_COLOUR),
    )
    for name, values, size, y, colour in rows:
        drawing.picture(28, y, 112, to_picture(values), colour)
        drawing.text(28, y - 66, name, anchor="start", bold=True, size=14)
        drawing.text(84, y + 74, f"3 × {size} × {size}", colour=FAINT, size=13)
        drawing.arrow((144, y), (176, y), colour=colour)
        words = f"{name.split(',')[0]} encoder", f"{len(FILTERS)} convolutions 3 × 3", filters
        drawing.block(178, y, 174, 88, colour, *words)
        cells = size // 16
        drawing.text(
            362,
            y - 10,
            f"{config.channels} × {cells} × {cells}",
            anchor="start",
            colour=FAINT,
            size=13,
        )


def _draw_attention(drawing: Drawing, config: NetworkConfig) -> None:
    """Draw how the face vector scores the places of the context, and the weighted sum."""
    cells, y = config.attention_size, CONTEXT_ROW
    drawing.arrow((354, FACE_ROW), (453, FACE_ROW), colour=FACE_COLOUR)
    drawing.block(
        455, FACE_ROW, 166, 60, FACE_COLOUR, "face vector", f"mean over places: {config.channels}"
    )
    drawing.arrow((538, FACE_ROW + 31), (538, 206), colour=FACE_COLOUR)
    drawing.text(550, 178, "the face scores each place", anchor="start", colour=FAINT, size=13)
    drawing.arrow((354, y), (447, y), colour=CONTEXT_COLOUR)
    drawing.box(449, 314, 178, 212, FAINT)
    drawing.text(538, 231, "attention", bold=True, size=14)
    drawing.text(538, 251, f"MLP of [face; place], {config.hidden}", colour=FAINT, size=13)
    side = 14
    left, top = 538 - side * cells / 2, 262
    rows, columns = np.mgrid[:cells, :cells]
    heat = np.exp(-((rows - 4) ** 2 + (columns - 5) ** 2) / 2.2)
    for row in range(cells):
        for column in range(cells):
            drawing.parts.append(
                f'<rect x="{left + side * column}" y="{top + side * row}" width="{side - 1}" '
                f'height="{side - 1}" fill="{CONTEXT_COLOUR}" '
                f'fill-opacity="{0.1 + 0.9 * heat[row, column]:.2f}"/>'
            )
    drawing.text(538, 386, f"softmax over {cells} × {cells} places", colour=FAINT, size=13)
    drawing.text(538, 405, "then the weighted sum", colour=FAINT, size=13)
    drawing.arrow((629, y), (664, y), colour=CONTEXT_COLOUR)
    drawing.block(666, y, 140, 60, CONTEXT_COLOUR, "context vector", f"{config.channels}")


def _draw_fusion(drawing: Drawing, config: NetworkConfig) -> None:
    """Draw the fusion's two weights, the classifier and the emotions."""
    middle = (FACE_ROW + CONTEXT_ROW) / 2
    drawing.arrow((623, FACE_ROW), (888, FACE_ROW), (888, middle - 50), colour=FACE_COLOUR)
    drawing.arrow((808, CONTEXT_ROW), (888, CONTEXT_ROW), (888, middle + 50), colour=CONTEXT_COLOUR)
    drawing.block(
        812,
        middle,
        152,
        94,
        FAINT,
        "fusion",
        "each vector scored,",
        "softmax over the two,",
        "weighted, joined",
    )
    drawing.text(
        900, FACE_ROW + 40, "weight of the face", anchor="start", size=13, colour=FACE_COLOUR
    )
    # The stream's own orange is too light for text.
    drawing.text(
        900, CONTEXT_ROW - 32, "weight of the context", anchor="start", size=13, colour="#8A5A00"
    )
    drawing.arrow((966, middle), (988, middle))
    drawing.block(
        990,
        middle,
        100,
        68,
        FAINT,
        "classifier",
        f"{config.hidden}, ReLU",
        f"{config.classes} logits",
    )
    drawing.arrow((1092, middle), (1112, middle))
    top = middle - 22 * (len(EMOTIONS) - 1) / 2
    for index, name in enumerate(EMOTIONS):
        y = top + 22 * index
        drawing.parts.append(
            f'<circle cx="1124" cy="{y}" r="6" fill="{emotion_colour(EMOTIONS, index)}" '
            f'stroke="{INK}" stroke-width="0.6"/>'
        )
        drawing.text(1136, y + 4.5, name, anchor="start", size=13.5)


if __name__ == "__main__":
    main()
