"""What a path leads to, where "no" must not mean "nobody may look".

From Python 3.14 on, ``Path.is_file`` and its like answer False for every error of the system, so
that a file in a folder without permission, or on a disk that fails, would be called missing.
"""

import errno
import stat
from pathlib import Path

_NO_DRIVE, _NO_SUCH_NAME, _LINKED_TO_ITSELF = 21, 123, 1921
"""Windows' numbers of what leads nowhere; the second is that of every glob."""


def is_file(path: Path) -> bool:
    """Whether a path leads to a regular file; raises OSError where the system does not say."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def is_folder(path: Path) -> bool:
    """Whether a path leads to a folder; raises OSError where the system does not say."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def exists(path: Path) -> bool:
    """Whether a path leads to anything; raises OSError where the system does not say."""
    return _mode(path) is not None


def holds_visible(folder: Path) -> bool:
    """Whether a folder holds anything that is not hidden, as leftovers of killed runs are.

    Raises:
        OSError: There is no such folder, or it cannot be read.
    """
    return any(not entry.name.startswith(".") for entry in folder.iterdir())


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last of names with a NUL
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        if getattr(error, "winerror", None) in (_NO_DRIVE, _NO_SUCH_NAME, _LINKED_TO_ITSELF):
            return None
        raise
