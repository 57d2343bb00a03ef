"""Paths for libraries that take no name but in UTF-8, which Linux does not ask of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glamor_cli.files.reading import open_file


@contextmanager
def utf8_path(path: Path) -> Iterator[Path]:
    """Lend a path of UTF-8 to a file that may have another; messages name the file itself.

    Args:
        path: A file to be read.

    Returns:
        The path itself, or one that leads to the opened file until the block ends.

    Raises:
        OSError: The name is not UTF-8, and the file cannot be opened.
    """
    if os.fsencode(path) == str(path).encode(errors="replace"):
        yield path
        return
    with open_file(path) as handle:
        yield Path(f"/proc/self/fd/{handle.fileno()}")
