"""The authors' box files: ``crop/<split>/<Class>/<name>.txt``, one line ``x1,y1,x2,y2``.

In pixels of the upright picture, its EXIF orientation applied; 0,0,0,0 is no face.
"""

from pathlib import Path

from glamor_cli.errors import DataError, reason_of
from glamor_cli.files.atomic import cannot_write
from glamor_cli.files.kinds import exists
from glamor_cli.files.reading import open_file
from glamor_cli.files.unsynced import unsynced_path
from glamor_cli.vision.pairs import MAX_COORDINATE, Box

BOX_SUFFIX = ".txt"
MAX_BYTES = 256
"""Bytes; larger files are refused unread."""

_REMEDY = "A box file is one line x1,y1,x2,y2 in whole pixels, or 0,0,0,0 for no face."


def box_file_name(image_name: str) -> str:
    """Name the box file of an image: up to its FIRST dot, as the authors have it.

    ``clip_12.34.jpg`` has ``clip_12.txt``.

    Args:
        image_name: The image's file name, without folders.
    """
    return image_name.split(".", 1)[0] + BOX_SUFFIX


def read_box(path: Path) -> Box:
    """Read a box file.

    Raises:
        DataError: The file is missing or is not a box file.
    """
    try:
        with open_file(path) as handle:
            raw = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read the box file {path}: {reason_of(error)}", _REMEDY) from error
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError("too long")
        x1, y1, x2, y2 = (int(cell) for cell in raw.decode("ascii").split(","))
        if max(map(abs, (x1, y1, x2, y2))) > MAX_COORDINATE:
            raise ValueError("out of bounds")
    except ValueError as error:
        raise DataError(
            f"{path} does not hold a box x1,y1,x2,y2 in whole pixels", _REMEDY
        ) from error
    return Box(x1, y1, x2, y2)


def has_box(path: Path, box: Box) -> bool:
    """Tell whether a box file is there already.

    Raises:
        DataError: It is there and holds another box.
        ConfigError: Its folder may not be looked into.
    """
    try:
        there = exists(path)
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error
    if there and read_box(path) != box:
        raise DataError(
            f"{path} already exists and holds another box",
            "Choose an empty folder, or one whose boxes are the same.",
        )
    return there


def write_box(path: Path, box: Box) -> None:
    """Write a box file, whole or not at all.

    Raises:
        DataError: The file is there already and holds another box.
        ConfigError: The folder cannot be written to.
    """
    if has_box(path, box):
        return
    text = ",".join(map(str, box)) + "\n"
    try:
        with unsynced_path(path) as temporary:
            temporary.write_text(text, encoding="ascii", newline="")
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error
