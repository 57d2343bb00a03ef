"""Writing pair stores so that a killed run goes on and ends with the same bytes.

Rows are appended to the arrays, and reach the disk before the index says that they are there. So
whatever the moment of a kill, the complete lines of the index are true: a resumed run cuts
everything else off and goes on behind them. The arrays' headers and ``store.json`` get their final
numbers at the end.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.store.format import (
    HEADER_BYTES,
    INDEX_FILE,
    STORE_FILE,
    ArrayFormat,
    Counts,
    StoreInfo,
)
from glamor_cli.data.store.index import HEADER, IndexRow, read_index
from glamor_cli.data.store.pair_store import row_crc32
from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.atomic import remove_leftovers
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.files.kinds import holds_visible, is_folder
from glamor_cli.files.reading import sha256
from glamor_cli.vision.status import Status

_COMMIT_ROWS = 128
_COMMIT_SECONDS = 5.0


class StoreWriter:
    """A store being made, or made already.

    Attributes:
        path: Its folder.
        info: How it is made.
    """

    def __init__(self, path: Path, info: StoreInfo, require_in_place: Callable[[], None]) -> None:
        self.path = path
        self.info = info
        self._require_in_place = require_in_place

    @classmethod
    @contextmanager
    def open(cls, path: Path, info: StoreInfo) -> Iterator[Self]:
        """Begin a store, or go on with one that was begun with the same settings and source.

        Args:
            path: Its folder; made if it is missing.
            info: How it is to be made.

        Raises:
            ConfigError: The folder cannot be written to, holds something else, is being written
                by another process, or was begun with other settings, which the message names.
            DataError: ``store.json`` is damaged or of another version of glamor.
        """
        is_new, is_unused = not os.path.lexists(path), False
        lock = lock_folder(path, "writing the store", "Wait until it has finished.")
        try:
            with lock as require_in_place:
                writer = cls(path, _begin(path, info), require_in_place)
                try:
                    yield writer
                except BaseException:
                    # Where nothing has been made, nobody is bound to these settings.
                    with suppress(OSError, ConfigError):
                        require_in_place()
                        if not any(is_folder(inside) for inside in path.iterdir()):
                            (path / STORE_FILE).unlink(missing_ok=True)
                        is_unused = is_new
                    raise
        finally:
            if is_unused:  # without the lock, whose file is in it on Windows
                with suppress(OSError):
                    path.rmdir()  # which refuses if anything is in it

    def split(self, name: str) -> "SplitWriter":
        """Open a split behind its last complete row.

        Raises:
            ConfigError: Its files cannot be written to, or the store is no longer in its place.
            DataError: Its index is damaged.
        """
        self._require_in_place()
        return SplitWriter(self.path / name, self.info.arrays())

    def finish(self, counts: dict[str, Counts]) -> None:
        """Mark the store complete, with the checksums of its indexes.

        Raises:
            ConfigError: The folder cannot be written to, or is no longer in its place.
        """
        self._require_in_place()
        with _writing(self.path):
            checksums = {name: sha256(self.path / name / INDEX_FILE) for name in counts}
        self.info = replace(self.info, complete=True, counts=counts, index_sha256=checksums)
        self.info.write(self.path)


def _begin(path: Path, info: StoreInfo) -> StoreInfo:
    """Find out how a store is made that was begun before, or begin one."""
    remove_leftovers(path, STORE_FILE)
    if (path / STORE_FILE).exists():
        begun = StoreInfo.read(path)
        differences = info.differences(begun)
        if differences:
            raise ConfigError(
                f"the store {path} was started with other settings: {'; '.join(differences)}",
                "Use the data set, settings and versions it was started with, or choose "
                "another folder.",
            )
        return begun
    if holds_visible(path):
        raise ConfigError(
            f"{path} holds other files but no pair store",
            "Choose an empty folder, or one that does not exist yet.",
        )
    info.write(path)
    return info


class SplitWriter:
    """The files of one split, open for appending.

    Attributes:
        counts: What became of the images so far, those of earlier runs included.
        failures: Name and reason of every image that failed so far.
    """

    def __init__(self, folder: Path, arrays: tuple[ArrayFormat, ...]) -> None:
        self.folder = folder
        self.counts = Counts()
        self.failures: list[tuple[str, str]] = []
        self._formats = arrays
        self._lines: list[bytes] = []
        self._committed = time.monotonic()
        with ExitStack() as stack, _writing(folder):
            folder.mkdir(exist_ok=True)
            # Without a buffer: of a full disk, only the row that it refused is lost.
            self._arrays = [stack.enter_context(_open(folder / array.file, 0)) for array in arrays]
            self._index = stack.enter_context(_open(folder / INDEX_FILE))
            self._cut()
            self._files = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._files.close()
            return
        # Keep what is done; but the error that stopped the run matters more than one from here.
        with suppress(ConfigError, OSError):
            # Half a row takes room that the index may need.
            self._truncate()
            self.commit()
        with suppress(OSError):
            self._files.close()

    def add(self, entry: IndexRow, pixels: tuple[NDArray[Any], ...] = ()) -> None:
        """Append an image.

        Args:
            entry: What is known of it; ``row`` is filled in here, and ``crc32`` where it is None.
            pixels: Its row in every array, in their order; none if it is not stored.

        Raises:
            ConfigError: The disk is full or gone.
        """
        if pixels:
            for handle, array, values in zip(self._arrays, self._formats, pixels, strict=True):
                if values.shape != array.row_shape or values.dtype != np.dtype(array.dtype):
                    raise ValueError(f"{array.file} takes {array}, not {values.shape}")
                with _writing(self.folder):
                    _write(handle, np.ascontiguousarray(values).data.cast("B"))
            crc32 = row_crc32(*pixels) if entry.crc32 is None else entry.crc32
            entry = replace(entry, row=self.counts.stored, crc32=crc32)
        self._count(entry)
        self._lines.append(entry.to_line())
        elapsed = time.monotonic() - self._committed
        if len(self._lines) >= _COMMIT_ROWS or elapsed >= _COMMIT_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Bring the rows to the disk, and then the index that speaks of them.

        Raises:
            ConfigError: The disk is full or gone.
        """
        with _writing(self.folder):
            for handle in self._arrays:
                _sync(handle)
            # Taken out first: were this interrupted, the lines must not be written twice.
            lines, self._lines = self._lines, []
            self._index.write(b"".join(lines))
            _sync(self._index)
        self._committed = time.monotonic()

    def finish(self) -> None:
        """Commit, and write the final number of rows into the arrays' headers.

        Raises:
            ConfigError: The disk is full or gone.
        """
        self.commit()
        self._write_headers(self.counts.stored)

    def _write_headers(self, rows: int) -> None:
        with _writing(self.folder):
            for handle, array in zip(self._arrays, self._formats, strict=True):
                handle.seek(0)
                _write(handle, memoryview(array.header(rows)))
                _sync(handle)
                handle.seek(0, os.SEEK_END)

    def _cut(self) -> None:
        """Count the complete rows, and cut off what lies behind them."""
        rows = min(
            (os.fstat(handle.fileno()).st_size - HEADER_BYTES) // array.row_bytes
            for handle, array in zip(self._arrays, self._formats, strict=True)
        )
        end = len(HEADER)
        for entry, line_end in read_index(self.folder / INDEX_FILE, unfinished=True):
            if entry.row is not None and entry.row >= rows:
                break
            self._count(entry)
            end = line_end
        self._index.seek(0)
        self._index.write(HEADER)
        self._index.truncate(end)
        self._index.seek(end)
        self._truncate()
        self._write_headers(0)

    def _truncate(self) -> None:
        """Cut off what lies behind the last whole row of each array."""
        for handle, array in zip(self._arrays, self._formats, strict=True):
            handle.truncate(HEADER_BYTES + self.counts.stored * array.row_bytes)

    def _count(self, entry: IndexRow) -> None:
        self.counts = self.counts.plus(entry)
        if entry.status is Status.ERROR:
            self.failures.append((entry.source, entry.reason))


def _open(path: Path, buffering: int = -1) -> BinaryIO:
    """Open for reading and writing without emptying, making the file if it is missing."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o666), "r+b", buffering)


def _write(handle: BinaryIO, values: memoryview) -> None:
    """Write it whole, where the system takes a part at a time."""
    while values:
        values = values[handle.write(values) :]


def _sync(handle: BinaryIO) -> None:
    handle.flush()
    os.fsync(handle.fileno())


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's refusals into a user's error."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {reason_of(error)}",
            "Make room or choose a folder that you may write to; what is stored already is kept.",
        ) from error
