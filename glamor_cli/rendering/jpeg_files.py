"""Saving a picture as a JPEG file."""

import io
from pathlib import Path

from PIL import Image

from glamor_cli.files.atomic import atomic_path
from glamor_cli.predict.saved_names import MARK


def save_jpeg(path: Path, picture: Image.Image, **options: int | str) -> None:
    """Save a picture of ours atomically, with our mark.

    Args:
        path: The file.
        picture: What to save.
        options: Pillow's: ``quality``, ``subsampling``.

    Raises:
        ConfigError: It cannot be written, or there is no more room.
    """
    # Into a file itself Pillow writes without looking how much of it a full disk has taken.
    stream = io.BytesIO()
    picture.save(stream, "JPEG", comment=MARK, **options)
    with atomic_path(path) as temporary:
        # Not getbuffer: Python 3.12.1 dies of the view that is left where the disk is full.
        temporary.write_bytes(stream.getvalue())
