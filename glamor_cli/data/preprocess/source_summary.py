"""What a data set held when a run began, so that a later run can tell whether it changed.

Images count by name and size. Those that are not compressed are of one size each: of a few of them
the first bytes count, too, which tell another data set of the same names. One that was replaced in
place by another of as many bytes is taken for the same.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from glamor_cli.data.data_sets.crop_files import MAX_BYTES
from glamor_cli.data.data_sets.data_set import DataSet, Record
from glamor_cli.data.store.format import SourceSummary
from glamor_cli.files.reading import open_file, read_bounded
from glamor_cli.vision.heif import HEIF_SUFFIXES

_UNCOMPRESSED = frozenset({".bmp", ".pbm", ".pgm", ".pnm", ".ppm", ".tif", ".tiff"})
"""Endings of images whose size says nothing of what they show."""
_HEAD_BYTES = 1 << 16
"""Read of an image that is looked into."""


@dataclass(frozen=True)
class Source:
    """What a data set held.

    Attributes:
        splits: By name.
        absent: Images that were not there, though the data set speaks of them, and folders of
            images or box files. What cannot be reached and is not among these has vanished.
        has_heif: Whether any image is named like a HEIF picture.
    """

    splits: dict[str, SourceSummary]
    absent: frozenset[Path]
    has_heif: bool


def summarise(data_set: DataSet, *, box_files: bool) -> Source:
    """Go through a data set once; of its images only a few are opened.

    Args:
        data_set: Which.
        box_files: Whether what its box files say counts.

    Raises:
        DataError: The data set changed on disk while it was read.
    """
    digests = {name: hashlib.sha256() for name in data_set.splits}
    images = dict.fromkeys(data_set.splits, 0)
    absent: set[Path] = set()
    has_heif = False
    for record in data_set.all_records():
        line = f"{record.name}\0{record.label}\0{_size(record, absent)}\0{record.box}"
        line += f"\0{record.targets}\n"
        digest = digests[record.split]
        digest.update(line.encode("utf-8", "surrogateescape"))
        if box_files and record.box_file is not None:
            digest.update(_box_text(record.box_file, absent) + b"\0")
        images[record.split] += 1
        # The first, second, fourth, ...: twenty of a million.
        is_uncompressed = record.source.suffix.lower() in _UNCOMPRESSED
        if is_uncompressed and images[record.split].bit_count() == 1:
            digest.update(_head(record))
        has_heif = has_heif or record.source.suffix.lower() in HEIF_SUFFIXES
    splits = {
        name: SourceSummary(images[name], digest.hexdigest()) for name, digest in digests.items()
    }
    return Source(splits, frozenset(absent), has_heif)


def _size(record: Record, absent: set[Path]) -> int:
    try:
        return record.source.stat().st_size
    except (OSError, ValueError):
        # A folder stands for all images in it, which may be many.
        folder = record.source.parent
        absent.add(record.source if is_reachable(folder) else folder)
        return -1


def _head(record: Record) -> bytes:
    """Hash how an image begins: pixels, where they are not compressed."""
    try:
        with open_file(record.source) as handle:
            return hashlib.sha256(handle.read(_HEAD_BYTES)).digest()
    except (OSError, ValueError):
        return b""


def _box_text(path: Path, absent: set[Path]) -> bytes:
    try:
        return read_bounded(path, MAX_BYTES)
    except (OSError, ValueError):
        if not is_reachable(path.parent):
            absent.add(path.parent)
        return b""


def is_reachable(path: Path) -> bool:
    """Tell whether a path can be reached; what a name does wrong only makes it unreachable."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises before Python 3.14
