"""The authors' box files: ``crop/<split>/<Class>/<name>.txt``, one line ``x1,y1,x2,y2``.

In pixels of the upright picture, its EXIF orientation applied; 0,0,0,0 is no face.
"""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from glamor_cli.data.class_names import find_class
from glamor_cli.errors import DataError
from glamor_cli.files.atomic import cannot_write
from glamor_cli.files.reading import open_file
from glamor_cli.vision.pairs import MAX_COORDINATE, Box

if TYPE_CHECKING:
    from glamor_cli.data.store import PairStore

MAX_BYTES = 256
"""Bytes; larger files are refused unread."""

_REMEDY = "A box file is one line x1,y1,x2,y2 in whole pixels, or 0,0,0,0 for no face."


def box_file_name(image_name: str) -> str:
    """Name the box file of an image: up to its FIRST dot, as the authors have it.

    ``clip_12.34.jpg`` has ``clip_12.txt``.

    Args:
        image_name: The image's file name, without folders.
    """
    return image_name.split(".", 1)[0] + ".txt"


def read_box(path: Path) -> Box:
    """Read a box file.

    Raises:
        DataError: The file is missing or is not a box file.
    """
    try:
        with open_file(path) as handle:
            raw = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"cannot read the box file {path}: {error.strerror or error}", _REMEDY
        ) from error
    try:
        if len(raw) > MAX_BYTES:
            raise ValueError("too long")
        x1, y1, x2, y2 = (int(cell) for cell in raw.decode("ascii").split(","))
        if max(map(abs, (x1, y1, x2, y2))) > MAX_COORDINATE:
            raise ValueError("out of bounds")
    except ValueError as error:
        raise DataError(f"{path} does not hold a box", _REMEDY) from error
    return Box(x1, y1, x2, y2)


def write_box(path: Path, box: Box) -> None:
    """Write a box file, whole or not at all.

    Raises:
        DataError: The file is there already and holds another box.
        ConfigError: The folder cannot be written to.
    """
    text = ",".join(map(str, box)) + "\n"
    try:
        if path.exists():
            if read_box(path) != box:
                raise DataError(
                    f"{path} is there already and holds another box",
                    "Choose an empty folder; images of one folder must differ before the first dot "
                    "of their names.",
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        # No fsync as in atomic_path: a data set has tens of thousands, and writing again is cheap.
        temporary = path.with_suffix(".partial")
        temporary.write_text(text, encoding="ascii")
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error.strerror or error) from error


def export_crops(store: "PairStore", out: Path) -> int:
    """Write the boxes of a store as the authors' ``crop/<split>/<Class>/<name>.txt``.

    Images without a face get the authors' mark, 0,0,0,0, also where the store left them out.

    Args:
        store: The pair store.
        out: The folder that gets (or has) ``crop``: beside ``images`` it makes their layout. Class
            folders are named as those of the images are.

    Returns:
        How many boxes were written.

    Raises:
        DataError: Two images share a box file but not a box, or a name cannot be a box file's.
        ConfigError: The folder cannot be written to.
    """
    written = 0
    for name in store.splits:
        for entry in store.entries(name):
            if entry.box is None:  # it failed; those without a face have a box of zeros
                continue
            # Only the last part of the name is used, so no name can lead out of the folder; a
            # store whose splits or classes could is not opened.
            file_name = box_file_name(PurePosixPath(entry.source).name)
            if file_name == ".txt" or "\0" in file_name:
                raise DataError(
                    f"the image {entry.source!r} has nothing before its first dot to name a box "
                    "file by",
                    "Rename the image and preprocess again.",
                )
            if entry.label not in store.info.classes:
                raise DataError(
                    f"{store.path}: {name} has the unknown class {entry.label!r}",
                    "Preprocess the data set into a new folder.",
                )
            # Boxes are looked for by the folder's own name, which may be another for the class.
            folder = PurePosixPath(entry.source).parent.name
            folder = folder if find_class(folder) == entry.label else entry.label
            write_box(out / "crop" / name / folder / file_name, entry.box)
            written += 1
    return written
