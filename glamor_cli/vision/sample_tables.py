"""How many samples an MP4 speaks of: FFmpeg makes room for all of them, however short the file is.

A table whose samples all have one size is a size and a number (ISO/IEC 14496-12, ``stsz`` and
``trun``). A forged kilobyte can so announce millions, for which FFmpeg takes gigabytes.
"""

import os
from collections.abc import Iterator
from typing import IO

_FOLDERS = frozenset(
    {
        *(b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"),
        # FFmpeg looks for tables in these too, where no table belongs.
        *(b"dinf", b"edts", b"mfra", b"mvex", b"tref", b"udta"),
    }
)
"""Boxes that hold boxes."""
_DEEPEST = 10
"""Boxes within boxes that FFmpeg goes into."""
_SIZES_OF_THEIR_OWN = 0xF00
"""Flags of a ``trun`` whose samples have entries: a file has no more of them than bytes."""
_FEW = 1 << 20
"""Samples for which any file may ask: FFmpeg takes some 40 MB for them."""
_OF_A_BYTE = 4
"""Samples for each of the file's bytes: sound of one byte each, in a file cut down to a quarter."""


def announces_too_much(file: IO[bytes]) -> bool:
    """Say whether a file announces samples of one size that it is far too short for.

    Args:
        file: An MP4 or QuickTime file; in others there are no such tables.
    """
    size = file.seek(0, os.SEEK_END)
    allowed = max(_FEW, _OF_A_BYTE * size)
    announced = 0
    for samples in _announced(file, 0, size, _DEEPEST):
        announced += samples
        if announced > allowed:
            return True
    return False


def _announced(file: IO[bytes], start: int, end: int, depth: int) -> Iterator[int]:
    """Give what each table in a stretch announces."""
    for kind, begins, ends in _boxes(file, start, end):
        if kind in _FOLDERS and depth:
            yield from _announced(file, begins, ends, depth - 1)
        elif kind in (b"stsz", b"trun"):
            yield _samples_of_one_size(file, kind, begins)


def _boxes(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Go through the boxes of a stretch: their kinds, and where their contents begin and end."""
    while end - start >= 8:
        file.seek(start)
        size, kind, head = int.from_bytes(file.read(4)), file.read(4), 8
        if size == 1:
            size, head = int.from_bytes(file.read(8)), 16
        elif size == 0:  # up to the end
            size = end - start
        if size < head:
            return
        yield kind, start + head, min(start + size, end)
        start += size


def _samples_of_one_size(file: IO[bytes], kind: bytes, start: int) -> int:
    """Count the samples of a table that has no entries for them."""
    file.seek(start)
    head = file.read(12)
    if kind == b"stsz":
        has_entries = head[4:8] == bytes(4)
        return 0 if has_entries else int.from_bytes(head[8:12])
    flags = int.from_bytes(head[1:4])
    return 0 if flags & _SIZES_OF_THEIR_OWN else int.from_bytes(head[4:8])
