"""Pictures of single frames: of a video, or of a camera."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.predict.following import FramePrediction
from glamor_cli.rendering.annotate import Label, draw_labels
from glamor_cli.rendering.colours import emotion_colour
from glamor_cli.rendering.insets import Style, draw_box, scale_box

_LONG_SIDE = (640, 1920)
"""Annotated frames keep their size within these bounds of the longer side, in pixels."""


def frame_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    """Choose the width and height at which a frame, [H, W, 3], is drawn; H.264 needs even ones."""
    height, width = image.shape[:2]
    longer = max(width, height)
    scale = min(max(longer, _LONG_SIDE[0]), _LONG_SIDE[1]) / longer
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def annotate_frame(prediction: FramePrediction, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw one frame's people: boxes, numbers and smoothed emotions.

    Args:
        prediction: With its ``image``.
        size: Width and height of the result in pixels.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The prediction carries no image.
    """
    if prediction.image is None:
        raise ValueError("the prediction carries no image: predict with keep_images")
    picture, scale = _fit_to(Image.fromarray(prediction.image), size)
    style = Style.of(max(size), prediction.classes)
    labels = []
    for face, person in zip(prediction.faces, prediction.people, strict=True):
        best = int(person.probabilities.argmax())
        colour = emotion_colour(prediction.classes, best)
        box = scale_box(face.box, scale)
        draw_box(picture, box, colour, style.line)
        name = f"{person.track} {prediction.classes[best]}"
        full = f"{name} {person.probabilities[best]:.0%}"
        labels.append(Label((full, name, str(person.track)), box, colour))
    draw_labels(picture, labels, size, style)
    return np.asarray(picture)


def _fit_to(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, float]:
    """Bring a frame to the video's size; give the factor too."""
    across, down = size[0] / picture.width, size[1] / picture.height
    scale = min(across, down)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size[0] - fitted[0] <= 2 and size[1] - fitted[1] <= 2:
        # Encoders take even sides only; nobody sees a frame pulled by a pixel.
        fitted = size
    if fitted != picture.size:
        picture = picture.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if fitted == size:
        return picture, scale
    # The frames' shape has changed in the middle of the video.
    canvas = Image.new("RGB", size)
    canvas.paste(picture)
    return canvas, scale
