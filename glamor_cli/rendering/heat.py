"""Attention laid over a picture as heat."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.vision.attention_map import attention_region, has_peak, upsample_attention
from glamor_cli.vision.pairs import Box

# Violet, red, orange, light yellow: lightness rises all the way, so it reads without colour too.
_HEAT = np.array([(59, 15, 112), (150, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)])
_HEAT_OPACITY = 0.8
"""Of the hottest place; what is below still shows."""
_HEAT_FLOOR = 0.12
"""Heat up to this is not drawn."""
_COLOUR_LEFT = 0.35
"""The share of its colour that a muted picture keeps."""
_UNSEEN = 0.62
"""The share of its light that is left of what the network does not see."""


def overlay_attention(
    picture: NDArray[np.uint8], attention: NDArray[np.float32], face: Box
) -> NDArray[np.uint8]:
    """Lay an attention map over a picture of a whole image.

    The picture is muted so that heat stands out on any colour, and darker where the network sees
    nothing: beyond the crop. The face that looked keeps its colours.

    Args:
        picture: uint8 [H, W, 3], RGB: the whole image, at any size.
        attention: float32 [h, w]; if it is even or zero, no place was looked at
            rather than another: the picture as it is.
        face: The face's box, in pixels of the picture.
    """
    if not has_peak(attention):
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
