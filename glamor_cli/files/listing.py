"""Listing folders in the order of names, with bounded memory however many entries they have."""

import heapq
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

RUN_NAMES = 100_000
"""Up to this many names are sorted in memory; of larger folders, runs are merged from a file."""


def list_names(folder: Path) -> Iterator[tuple[str, bool]]:
    """List a folder: each entry's name, and whether it is a folder (links are followed).

    Yields:
        In the order of the names' code points, the same on every machine.

    Raises:
        OSError: The folder cannot be read, or there is no room for a temporary file.
    """
    with os.scandir(folder) as entries:
        yield from sort_bounded((entry.name, _is_folder(entry)) for entry in entries)


def sort_bounded(names: Iterable[tuple[str, bool]]) -> Iterator[tuple[str, bool]]:
    """Sort names without holding more than ``RUN_NAMES`` of them; the rest is on disk.

    Raises:
        OSError: There is no room for a temporary file.
    """
    names = iter(names)
    run = sorted(itertools.islice(names, RUN_NAMES))
    following = list(itertools.islice(names, RUN_NAMES))
    if not following:
        yield from run
        return
    with tempfile.TemporaryFile() as file:
        places = [_write(file, run)]
        del run
        while following:
            following.sort()
            places.append(_write(file, following))
            following = list(itertools.islice(names, RUN_NAMES))
        file.flush()
        yield from heapq.merge(*(_read(file, *place) for place in places))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself, for one.
        return False


def _write(file: IO[bytes], run: list[tuple[str, bool]]) -> tuple[int, int]:
    """Append a sorted run; a name cannot hold a NUL, so that ends it. Returns where it lies."""
    start = file.tell()
    for name, is_folder in run:
        file.write(b"%d%s\0" % (is_folder, os.fsencode(name)))
    return start, file.tell()


def _read(file: IO[bytes], start: int, end: int) -> Iterator[tuple[str, bool]]:
    """Stream a run, a piece at a time; the file is shared, so its position is not relied on."""
    rest = b""
    while start < end:
        file.seek(start)
        piece = file.read(min(1 << 16, end - start))
        start += len(piece)
        *whole, rest = (rest + piece).split(b"\0")
        for raw in whole:
            yield os.fsdecode(raw[1:]), raw[:1] == b"1"
