"""One process at a time in a folder: the system drops the lock of one that was killed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.files.atomic import cannot_write


@contextmanager
def lock_folder(folder: Path, work: str, remedy: str) -> Iterator[None]:
    """Keep every other process from doing the same in a folder, as long as the block runs.

    On Windows and on file systems that know no such lock, that is up to the user.

    Args:
        folder: Is made if it is missing.
        work: What is done there, as the error calls it: "training in".
        remedy: What to do where another process does it already.

    Raises:
        ConfigError: Another process does, or the folder cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if folder.is_file():
            raise ConfigError(f"{folder} is a file", "Give the name of a folder.") from error
        raise cannot_write(folder, error.strerror or error) from error
    if sys.platform == "win32":
        yield
    else:
        import fcntl

        try:
            opened = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise cannot_write(folder, error.strerror or error) from error
        try:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(f"another process is {work} {folder}", remedy) from error
            except OSError:
                pass  # some network file systems have no locks
            yield
        finally:
            os.close(opened)
