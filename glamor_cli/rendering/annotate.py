"""Pictures of predictions: boxes, emotions, and the attention laid where the network looked."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from glamor_cli.errors import ConfigError
from glamor_cli.files.kinds import exists
from glamor_cli.predict.predictions import ImagePrediction
from glamor_cli.predict.saved_names import SAVED_PICTURE, is_saved, saved_name
from glamor_cli.predict.sources import SourceImage, Sources, each_source
from glamor_cli.rendering.colours import INK, PAPER, emotion_colour, ink_on
from glamor_cli.rendering.heat import overlay_attention
from glamor_cli.rendering.insets import (
    CARD_WIDTH,
    Style,
    draw_box,
    draw_strip,
    ellipsis,
    scale_box,
)
from glamor_cli.rendering.jpeg_files import save_jpeg

_LONG_SIDE = (900, 1800)
"""Pictures keep their size within these bounds of the longer side, in pixels: smaller ones have
no room for text, and nobody looks at larger ones whole."""
_NARROWEST = 28
"""Least width of a saved picture, in heights of its text: the legend's."""
_CARDS_ACROSS = 3
"""Cards that have room beside each other below any picture."""

_Rectangle: TypeAlias = tuple[float, float, float, float]


def annotate(prediction: ImagePrediction) -> Image.Image:
    """Draw one image's answers.

    One face: the attention lies over the picture. Several: the picture shows who is who, and a
    strip below has one inset per face with its attention.

    Args:
        prediction: With its ``image``.

    Raises:
        ValueError: The prediction carries no image.
    """
    if prediction.image is None:
        raise ValueError("the prediction carries no image: predict with keep_images")
    picture, scale = _fit(prediction.image)
    style = Style.of(max(picture.size), prediction.classes)
    # A narrow picture gets margins: its labels, cards and legend need the room.
    cards = min(len(prediction.faces), _CARDS_ACROSS)
    width = max(picture.width, _NARROWEST * style.text, cards * CARD_WIDTH * style.text + style.gap)
    strip = draw_strip(prediction, picture, width, style)
    boxes = [scale_box(face.box, scale) for face in prediction.faces]
    if len(boxes) == 1:
        face = prediction.faces[0]
        picture = Image.fromarray(overlay_attention(np.asarray(picture), face.attention, boxes[0]))
    for face, box in zip(prediction.faces, boxes, strict=True):
        draw_box(picture, box, emotion_colour(prediction.classes, face.emotion), style.line)
    canvas = Image.new("RGB", (width, picture.height + strip.height), PAPER)
    left = (width - picture.width) // 2
    canvas.paste(picture, (left, 0))
    canvas.paste(strip, (0, picture.height))
    labels = [
        _label(prediction, index, (box.x1 + left, box.y1, box.x2 + left, box.y2))
        for index, box in enumerate(boxes)
    ]
    draw_labels(canvas, labels, (width, picture.height), style)
    return canvas


class PictureFolder:
    """Saves annotated pictures into one folder, each under a name of its own and of no source.

    Within a run no picture replaces another; those of earlier runs are replaced, and counted.

    Args:
        folder: Made if it is missing.
        sources: What is looked at, as for ``predict``, but no iterator, which would be used up
            here; none of its files is written over.

    Attributes:
        saved: How many files were saved.
        replaced: How many of them replaced those of earlier runs.

    Raises:
        ConfigError: The folder cannot be made or written to.
        TypeError: The sources are an iterator, or something else is among them.
    """

    def __init__(self, folder: str | Path, sources: Sources = ()) -> None:
        if isinstance(sources, Iterator):
            raise TypeError(
                f"the sources are gone through twice, which {type(sources).__name__} cannot be: "
                "give a list"
            )
        folder = Path(folder)
        self.saved = self.replaced = 0
        try:
            self._made = [place for place in (folder, *folder.parents) if not exists(place)]
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, FileExistsError) and folder.is_file():
                raise ConfigError(f"{folder} is a file", "Give the name of a folder.") from error
            raise _not_writable(folder, error.strerror) from error
        # A run must find out before its first batch, not after it.
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _not_writable(folder, "permission denied")
        self._folder = folder
        self._used = {name.casefold() for name in _files_in(folder, sources)}
        self._older: set[Path] = set()
        self._next: dict[str, int] = {}

    def save(self, prediction: ImagePrediction) -> Path | None:
        """Annotate and save a picture; None for an image that could not be read.

        Raises:
            ConfigError: The folder cannot be written to.
        """
        if prediction.image is None:
            return None
        path = self.path(prediction.source, SAVED_PICTURE)
        save_jpeg(path, annotate(prediction), quality=92, subsampling="4:4:4")
        self.count(path)
        return path

    def leave_nothing_empty(self) -> None:
        """Remove the folders that were made for pictures which did not come."""
        with suppress(OSError):
            for place in self._made:
                place.rmdir()

    def path(self, source: str, suffix: str) -> Path:
        """Give the picture of a source a name, numbered if that is another's.

        A name is another's if a source of this run has or got it, or a file that no run saved.
        """
        # Case is folded because some file systems do.
        name = plain = saved_name(source, suffix)
        number = self._next.get(plain.casefold(), 2)
        while name.casefold() in self._used or self._is_foreign(name):
            name, number = saved_name(source, f"-{number}{suffix}"), number + 1
        self._used.add(name.casefold())
        self._next[plain.casefold()] = number
        path = self._folder / name
        if path.exists():
            self._older.add(path)
        return path

    def _is_foreign(self, name: str) -> bool:
        path = self._folder / name
        return path.exists() and not is_saved(path)

    def count(self, path: Path) -> None:
        """Count a file of a name that ``path`` gave, once it is saved."""
        self.saved += 1
        self.replaced += path in self._older


def _files_in(folder: Path, sources: Sources) -> list[str]:
    """Name the files of a folder that sources are, or lead to."""
    place = folder.resolve()
    found = []
    named = (source for source in each_source(sources) if not isinstance(source, SourceImage))
    for source in map(Path, named):
        with suppress(OSError):  # names that the system does not accept
            if source.is_file():
                files = (source.parent.resolve() / source.name, source.resolve())
                found += [file.name for file in files if file.parent == place]
    return found


def _not_writable(folder: Path, reason: str | None) -> ConfigError:
    return ConfigError(
        f"cannot save pictures in {folder}: {reason}", "Choose a folder that you may write to."
    )


def _fit(image: NDArray[np.uint8]) -> tuple[Image.Image, float]:
    """Bring an image's longer side within bounds; give the factor too."""
    height, width = image.shape[:2]
    longer = max(height, width)
    scale = min(max(longer, _LONG_SIDE[0]), _LONG_SIDE[1]) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(image).resize(size, Image.Resampling.LANCZOS), scale


def _label(prediction: ImagePrediction, index: int, box: tuple[int, int, int, int]) -> "Label":
    face = prediction.faces[index]
    tag = f"{index + 1}" if len(prediction.faces) > 1 else ""
    full = f"{tag} {prediction.classes[face.emotion]} {face.probabilities.max():.0%}".strip()
    colour = emotion_colour(prediction.classes, face.emotion)
    return Label((full, tag) if tag else (full,), box, colour)


@dataclass(frozen=True)
class Label:
    """What is written at a face.

    Attributes:
        texts: The longest first; the next one where there is no room.
        box: The face's x1, y1, x2, y2 in pixels of the canvas.
        colour: As #RRGGBB.
    """

    texts: tuple[str, ...]
    box: tuple[int, int, int, int]
    colour: str


def draw_labels(
    canvas: Image.Image, labels: Sequence[Label], size: tuple[int, int], style: Style
) -> None:
    """Draw every face's label, clear of the other labels and faces.

    Args:
        canvas: Drawn on.
        labels: One for each face.
        size: Width and height of the part of the canvas that may be drawn on, from its corner.
        style: Sizes.
    """
    draw = ImageDraw.Draw(canvas)
    # The boxes' lines lie outside the faces.
    frames = [_grow(label.box, style.line + 1) for label in labels]
    spots: list[_Rectangle] = []
    for index, (label, frame) in enumerate(zip(labels, frames, strict=True)):
        others = [*spots, *frames[:index], *frames[index + 1 :]]
        text, spot = _place(draw, label.texts, frame, others, size=size, style=style)
        spots.append(spot)
        draw.rectangle(spot, fill=label.colour, outline=INK)
        centre = ((spot[0] + spot[2]) / 2, (spot[1] + spot[3]) / 2)
        draw.text(centre, text, fill=ink_on(label.colour), font=style.font, anchor="mm")


def _place(
    draw: ImageDraw.ImageDraw,
    texts: tuple[str, ...],
    box: _Rectangle,
    others: list[_Rectangle],
    *,
    size: tuple[int, int],
    style: Style,
) -> tuple[str, _Rectangle]:
    """Find a free place for the first text that has one: around its box, else inside it.

    The last text is placed in any case, at the box's corner if nowhere is free.
    """
    x1, y1, x2, y2 = box
    spot: _Rectangle = box
    for text in texts:
        shown = ellipsis(draw, text, style.font, size[0] - 2 * style.gap)
        width, height = draw.textlength(shown, style.font) + style.gap, round(style.text * 1.35)
        corners = [(x, y) for y in (y1 - height - 1, y2) for x in (x1, x2 - width)]
        corners += [(x, y) for x in (x2, x1 - width - 1) for y in (y1, y2 - height)]
        for corner in corners:
            spot = _move_inside((width, height), corner, size)
            if not any(_overlap(spot, other) for other in (*others, box)):
                return shown, spot
        spot = _move_inside((width, height), (x1, y1), size)
        small = width <= x2 - x1 and height <= (y2 - y1) / 4
        if small and not any(_overlap(spot, other) for other in others):
            return shown, spot
    return shown, spot


def _move_inside(
    label: tuple[float, float], corner: tuple[float, float], size: tuple[int, int]
) -> _Rectangle:
    """Give a label's rectangle, moved into the picture if it sticks out."""
    x = min(max(corner[0], 0), max(0, size[0] - 1 - label[0]))
    y = min(max(corner[1], 0), max(0, size[1] - 1 - label[1]))
    return x, y, x + label[0], y + label[1]


def _grow(box: tuple[int, int, int, int], by: int) -> _Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _overlap(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
