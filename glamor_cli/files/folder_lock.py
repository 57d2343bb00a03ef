"""One process at a time in a folder: the system drops the lock of one that was killed."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.atomic import cannot_write

if sys.platform == "win32":
    import msvcrt

    _FILE = ".lock"
    """Is locked instead, as Windows opens no folders. A process that is killed leaves it."""
    _TAKEN = PermissionError

    def _open(folder: Path) -> int:
        return os.open(folder / _FILE, os.O_RDWR | os.O_CREAT)

    def _lock(opened: int) -> None:
        msvcrt.locking(opened, msvcrt.LK_NBLCK, 1)

    def _is_in_place(opened: int, folder: Path) -> bool:  # noqa: ARG001
        return True  # Windows moves and removes no folder in which a file is open

    def _close(opened: int, folder: Path) -> None:
        os.close(opened)
        # Windows keeps it while another process has it open.
        with suppress(OSError):
            (folder / _FILE).unlink()

else:
    import fcntl

    _TAKEN = BlockingIOError

    def _open(folder: Path) -> int:
        return os.open(folder, os.O_RDONLY)

    def _lock(opened: int) -> None:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_in_place(opened: int, folder: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(opened), folder.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # what is written there will tell

    def _close(opened: int, folder: Path) -> None:  # noqa: ARG001
        os.close(opened)


@contextmanager
def lock_folder(folder: Path, work: str, remedy: str) -> Iterator[Callable[[], None]]:
    """Keep every other process from doing the same in a folder, as long as the block runs.

    On file systems that know no such lock, that is up to the user. The lock goes with the folder:
    under the name of one that was moved or removed, another process may be at work.

    Args:
        folder: Is made if it is missing.
        work: What is done there, as the error calls it: "training in".
        remedy: What to do where another process does it already.

    Yields:
        To be called before much is written: it raises ConfigError where the folder was moved,
        removed or replaced meanwhile.

    Raises:
        ConfigError: Another process does, or the folder cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileExistsError) and folder.is_file():
            raise ConfigError(f"{folder} is a file", "Give the name of a folder.") from error
        raise cannot_write(folder, reason_of(error)) from error
    try:
        opened = _open(folder)
    except OSError as error:
        raise cannot_write(folder, reason_of(error)) from error
    try:
        try:
            _lock(opened)
        except _TAKEN as error:
            raise ConfigError(f"another process is {work} {folder}", remedy) from error
        except OSError:
            pass  # some network file systems have no locks
        yield lambda: _require_in_place(opened, folder, work)
    finally:
        _close(opened, folder)


def _require_in_place(opened: int, folder: Path, work: str) -> None:
    if not _is_in_place(opened, folder):
        raise ConfigError(
            f"while this process was {work} {folder}, it was moved, removed or replaced",
            "Leave a folder in its place until the work has finished. To go on in one that was "
            "moved, move it back first.",
        )
