"""Opening files of strangers: only real files, and no more of them than a bound."""

import errno
import hashlib
import os
import stat
from io import BufferedReader
from pathlib import Path

MALFORMED = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What taking a stranger's JSON apart raises where it is not what it should be."""


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading; a pipe or device of that name would never end.

    Raises:
        OSError: There is none, or it cannot be read.
        ValueError: The path holds a NUL.
    """
    # Without O_NONBLOCK a pipe without a writer blocks here; regular files ignore it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        reason = os.strerror(number) if stat.S_ISDIR(mode) else "not a regular file"
        raise OSError(number, reason, str(path))
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a whole file of at most ``limit`` bytes.

    Raises:
        OSError: There is none, it cannot be read, or it is larger.
        ValueError: The path holds a NUL.
    """
    with open_file(path) as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return data


def sha256(path: Path) -> str:
    """Hash a file, as ``weights/index.json`` and engines' sidecars record it: 64 hex digits.

    Raises:
        OSError: There is none, or it cannot be read.
    """
    with open_file(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
