"""Writing files so that a reader sees the old one or the new one, never half of either."""

import errno
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.system.undisturbed import undisturbed

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What writing fails with where there is no more room."""
_NO_PERMISSIONS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What ``chmod`` on one's own file fails with where permissions cannot be changed."""
_NOT_REPLACEABLE = {errno.EBUSY, errno.EPERM, errno.EACCES}
"""What replacing fails with where a file is mounted, or is another user's in a folder like /tmp."""
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/\d+(/task/\d+)?/fd")
"""Folders whose entries are files that a process has open."""
_STEM_BYTES = 200
_SUFFIX_BYTES = 30
"""Bytes of a name that go into the temporary one, which is longer and has the same limit, 255."""
_PARTIAL = ".partial"
"""Stands before the suffix of a temporary file, whose name begins with a dot."""
_UMASK = threading.Lock()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``; on success it takes the place of ``path``.

    The temporary file keeps the suffix of ``path``, because writers choose a format by it. If the
    block raises, no file is left behind and an older ``path`` is untouched. A link stays one, and
    what it points to is replaced. A pipe or a device cannot be replaced: the finished file is
    copied into it. The same is done for an open file, as ``/dev/stdout`` names one, even if that is
    a regular file, and for a file that is mounted, as containers have single files, or belongs to
    another user in a folder like ``/tmp``.

    Args:
        path: Where the finished file belongs. Its folder is made if it is missing, and stays.

    Raises:
        ConfigError: ``path`` is a folder or a link to itself, its folder cannot be made or written
            to, or there is no more room.
    """
    try:
        # Pathlib takes a link that leads to itself for a missing file; this does not.
        with suppress(FileNotFoundError):
            path.stat()
        if path.is_dir():
            raise ConfigError(f"{path} is a folder", "Give the name of a file.")
        replaceable = (path.is_file() or not path.exists()) and _find_descriptor(path) is None
        if path.is_symlink() and replaceable:
            path = path.resolve()
        if replaceable:
            path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            dir=path.parent if replaceable else None,
            prefix=f".{_begin(path.stem, _STEM_BYTES)}-",
            suffix=f"{_PARTIAL}{_begin(path.suffix, _SUFFIX_BYTES)}",
        )
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        with report_full_disk(path if replaceable else temporary):
            yield temporary
            _finish(temporary, path, replace=replaceable)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *names: str) -> None:
    """Remove the temporary files that killed processes left; nobody else may be writing these.

    Args:
        folder: Where the finished files belong.
        names: Theirs, as globs; those of other files stay, which another program may be writing.
    """
    for name in map(Path, names):
        # What mkstemp adds; "*" would match the files of longer names, too.
        for leftover in folder.glob(f".{name.stem}-{'?' * 8}{_PARTIAL}{name.suffix}"):
            leftover.unlink(missing_ok=True)


def _finish(temporary: Path, path: Path, *, replace: bool) -> None:
    """Put the finished file in its place."""
    try:
        if not replace:
            with temporary.open("rb") as finished, _open_as_it_is(path) as sink:
                shutil.copyfileobj(finished, sink)
            return
        # What is finished is not lost to a Ctrl-C.
        with undisturbed():
            _permit(temporary, _mode(path))
            # Windows flushes only what is open for writing.
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            try:
                temporary.replace(path)
            except OSError as error:
                if error.errno not in _NOT_REPLACEABLE or not path.is_file():
                    raise
                with temporary.open("rb") as finished, _open_older(path) as sink:
                    shutil.copyfileobj(finished, sink)
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error


def _open_older(path: Path) -> BinaryIO:
    """Open a file that is there: of others' in /tmp Linux refuses what might make one."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)), "wb")


def _permit(temporary: Path, mode: int) -> None:
    """Set permissions, where the file system has any of its own to set."""
    try:
        temporary.chmod(mode)
    except OSError as error:
        # Shares, USB disks and FUSE mounts give every file those of the mount, and refuse.
        if error.errno not in _NO_PERMISSIONS:
            raise


def _mode(path: Path) -> int:
    """Give an older file's permissions, or those of a file that open() makes, not mkstemp's."""
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    return 0o666 & ~_umask()


def _begin(text: str, size: int) -> str:
    """Cut a name after at most ``size`` bytes, between letters, of which it keeps the valid."""
    return os.fsencode(text)[:size].decode(sys.getfilesystemencoding(), errors="ignore")


def _open_as_it_is(path: Path) -> BinaryIO:
    """Open what cannot be replaced; a file that is open already goes on after what it holds."""
    descriptor = _find_descriptor(path)
    if descriptor is None:
        return path.open("wb")
    if descriptor.parent in (Path("/dev/fd"), Path(f"/proc/{os.getpid()}/fd")):
        return os.fdopen(os.dup(int(descriptor.name)), "wb")
    return descriptor.open("ab")


def _find_descriptor(path: Path) -> Path | None:
    """Follow links until one is the name of an open file, such as ``/proc/7/fd/1``."""
    while True:
        folder = path.parent.resolve()
        if _DESCRIPTORS.fullmatch(str(folder)) and path.exists():
            return folder / path.name
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()


@contextmanager
def report_full_disk(path: Path | str) -> Iterator[None]:
    """Turn a full disk into the error that says that ``path`` cannot be written.

    Raises:
        ConfigError: There is no more room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise cannot_write(path, reason_of(error)) from error


def cannot_write(path: Path | str, reason: object) -> ConfigError:
    """Make the error that says a file, or a stream by its name, cannot be written, and why."""
    where = "a folder" if isinstance(path, Path) else "a place"
    remedy = f"Choose {where} that you may write to and that has room"
    # None until something temporary was asked for; what a user named may lie there, too.
    if tempfile.tempdir is not None and Path(path).is_relative_to(tempfile.tempdir):
        remedy += "; for temporary files, set TMPDIR to one"
    return ConfigError(f"cannot write {path}: {reason}", f"{remedy}.")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically, with the line ends that it has.

    Text that is not valid Unicode, as file names may be, is written as escapes.

    Raises:
        ConfigError: ``path`` is a folder, or its folder cannot be written to.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_json(
    path: Path,
    content: object,
    *,
    indent: int | None = 2,
    sort_keys: bool = False,
    ensure_ascii: bool = True,
) -> None:
    """Write ``content`` as JSON to ``path`` atomically.

    Args:
        path: The file.
        content: What JSON knows; figures that are not finite, it does not.
        indent: Spaces for each level; None writes one line.
        sort_keys: Whether keys are sorted.
        ensure_ascii: Whether letters beyond ASCII are written as escapes.

    Raises:
        ConfigError: ``path`` is a folder, or its folder cannot be written to.
        ValueError: A figure is not finite.
    """
    text = json.dumps(
        content, indent=indent, sort_keys=sort_keys, ensure_ascii=ensure_ascii, allow_nan=False
    )
    write_text(path, text + "\n")


def _umask() -> int:
    """Read the process's umask (there is no call that reads without setting)."""
    with _UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
