"""Where attention lies in an image, and the colours of every picture.

The attention map covers the 112x112 crop of the 128x171 sampling of the whole image, so it lies
over a known rectangle of the image and nowhere else.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.network.config import CONTEXT_SIZE, Encoder, NetworkConfig
from glamor_cli.vision.pairs import CONTEXT_SHAPE, EVALUATION_COLUMNS, EVALUATION_ROWS, Box

# Okabe and Ito's palette, told apart by people of any colour vision; a fixed one per emotion.
_EMOTION_COLOURS = {
    "Anger": "#D55E00",
    "Disgust": "#009E73",
    "Fear": "#CC79A7",
    "Happy": "#F0E442",
    "Neutral": "#C8C8C8",
    "Sad": "#0072B2",
    "Surprise": "#56B4E9",
}
_OTHER_COLOURS = (*_EMOTION_COLOURS.values(), "#E69F00")
FACE_COLOUR, CONTEXT_COLOUR = "#0072B2", "#E69F00"
"""The two streams' colours, in every picture."""

# Violet, red, orange, light yellow: lightness rises all the way, so it reads without colour too.
_HEAT = np.array([(59, 15, 112), (150, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)])
_HEAT_OPACITY = 0.8
_HEAT_FLOOR = 0.12
_COLOUR_LEFT = 0.35
_UNSEEN = 0.62


def emotion_colour(classes: Sequence[str], index: int) -> str:
    """Give an emotion's colour as #RRGGBB, the same in every picture."""
    return _EMOTION_COLOURS.get(classes[index], _OTHER_COLOURS[index % len(_OTHER_COLOURS)])


def attention_region(height: int, width: int) -> tuple[float, float, float, float]:
    """Find the part of an image that the context crop shows.

    Returns:
        x1, y1, x2, y2 in pixels of the image, continuous (pixel i covers i to i + 1).
    """
    rows, columns = CONTEXT_SHAPE
    return (
        EVALUATION_COLUMNS.start * width / columns,
        EVALUATION_ROWS.start * height / rows,
        EVALUATION_COLUMNS.stop * width / columns,
        EVALUATION_ROWS.stop * height / rows,
    )


def upsample_attention(
    attention: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    """Bring an attention map smoothly to the size of a picture of the context crop.

    Args:
        attention: float32 [h, w], in row-major cells.
        height: Rows wanted for the crop's 112.
        width: Columns wanted for the crop's 112.

    Returns:
        float32 [height, width], 0 where nothing was looked at, 1 at the map's peak.
    """
    top, bottom = cell_range(attention.shape[0])
    left, right = cell_range(attention.shape[1])
    smooth = Image.fromarray(np.ascontiguousarray(attention, np.float32)).resize(
        (width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom)
    )
    values: NDArray[np.float32] = np.maximum(np.asarray(smooth, np.float32), 0)
    peak = float(values.max())
    if peak > 0:
        values /= np.float32(peak)
    return values


def overlay_attention(
    picture: NDArray[np.uint8], attention: NDArray[np.float32], face: Box
) -> NDArray[np.uint8]:
    """Lay an attention map over a picture of a whole image.

    The picture is muted so that heat stands out on any colour, and darker where the network sees
    nothing: beyond the crop. The face that looked keeps its colours.

    Args:
        picture: uint8 [H, W, 3], RGB: the whole image, at any size.
        attention: float32 [h, w]; if all zero, no context was looked at: the picture as it is.
        face: The face's box, in pixels of the picture.
    """
    if not attention.any():
        return picture
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (round(edge) for edge in attention_region(height, width))
    muted = mute(picture)
    result = (muted * _UNSEEN).astype(np.uint8)
    result[y1:y2, x1:x2] = muted[y1:y2, x1:x2]
    result[face.y1 : face.y2, face.x1 : face.x2] = picture[face.y1 : face.y2, face.x1 : face.x2]
    if x1 < x2 and y1 < y2:
        heat = upsample_attention(attention, y2 - y1, x2 - x1)
        result[y1:y2, x1:x2] = blend_heat(result[y1:y2, x1:x2], heat)
    return result


def mute(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take most of the colour out of a picture, uint8 [H, W, 3]."""
    gray = np.asarray(Image.fromarray(picture).convert("L"), np.float32)[..., None]
    return np.rint(gray + (picture - gray) * _COLOUR_LEFT).astype(np.uint8)


def blend_heat(picture: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay heat over a picture, more opaque the hotter, and none where nothing was looked at.

    Args:
        picture: uint8 [H, W, 3], RGB.
        values: float32 [H, W], from 0 to 1.
    """
    stops = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(values, stops, _HEAT[:, c]) for c in range(3)], axis=-1)
    shown = np.clip((values - _HEAT_FLOOR) / (1 - _HEAT_FLOOR), 0, 1)
    opacity = (_HEAT_OPACITY * shown**0.7)[..., None]
    blended: NDArray[np.uint8] = np.rint(picture + (colours - picture) * opacity).astype(np.uint8)
    return blended


def cell_range(cells: int) -> tuple[float, float]:
    """Say where the crop begins and ends, counted in cells of the attention map.

    The original network's cells divide the crop evenly (pooling by 2 four times). ResNet's
    padded stride-2 convolutions put the centre of cell i at pixel 32i, half a cell earlier.

    Args:
        cells: Rows or columns of the attention map.
    """
    if cells != NetworkConfig(Encoder.RESNET18).attention_size:
        return 0.0, float(cells)
    stride = 32
    first = (stride / 2 - 0.5) / stride
    return first, first + CONTEXT_SIZE / stride
