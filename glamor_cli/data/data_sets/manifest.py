"""Manifests: CSV files that name every image of a data set.

Columns: ``path`` (relative to the manifest's folder, or absolute) and ``label``; optionally
``split``; optionally ``x1,y1,x2,y2``, the face's box in pixels of the upright picture, its EXIF
orientation applied (empty cells: no box given; 0,0,0,0: no face); optionally one column for each
class, its weight in a soft label (any scale, all cells empty: the label alone). Other columns are
ignored. Commas between the cells; UTF-8; paths may hold other bytes. In boxes and weights
NA, which R writes for missing numbers, is an empty cell.
"""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from glamor_cli.data.data_sets.class_names import find_class, known_classes
from glamor_cli.data.data_sets.data_set import DataSet, Layout, Record, is_split_name
from glamor_cli.data.split_names import WHOLE_SPLIT
from glamor_cli.errors import ConfigError, DataError, reason_of
from glamor_cli.labels import EMOTIONS
from glamor_cli.vision.pairs import MAX_COORDINATE, Box

_MAX_SPLITS = 1000
_MAX_ROW_CHARACTERS = 1_000_000
_MAX_PATH_CHARACTERS = 4096
"""As on Linux. A quote that is not closed gives a longer one, which fits no cell of an index."""
_SHOWN_CHARACTERS = 200
_EMPTY = ("", "NA")
_UTF16_MARKS = ("\udcff\udcfe", "\udcfe\udcff")
"""Its bytes, which are none of UTF-8, as they are read."""


@dataclass(frozen=True)
class _Columns:
    """Where in a row each thing is."""

    count: int
    path: int
    label: int
    split: int | None
    box: tuple[int, ...]
    targets: tuple[int, ...]


class ManifestDataSet(DataSet):
    """Images that a manifest names."""

    layout = Layout.MANIFEST

    def __init__(
        self,
        path: Path,
        splits: tuple[str, ...],
        *,
        boxed_splits: tuple[str, ...],
        has_targets: bool,
        whole_split: str,
    ) -> None:
        self.root = path.parent
        self.path = path
        self.splits = splits
        self.has_targets = has_targets
        self._boxed_splits = boxed_splits
        self._whole_split = whole_split

    @classmethod
    def open(cls, path: Path, *, split: str | None = None) -> "ManifestDataSet":
        """Read a manifest through once, so that its mistakes show before any work is done.

        Args:
            path: The ``.csv``.
            split: The only split to take, or what to call the one of a manifest without splits.

        Raises:
            ConfigError: It has no such split.
            DataError: The manifest has no rows, or something is wrong; the message names the line.
        """
        whole_split = split or WHOLE_SPLIT
        found: set[str] = set()
        boxed: set[str] = set()
        columns = _read_columns(path)
        for record in _read(path, whole_split):
            if record.split not in found:
                if len(found) == _MAX_SPLITS:
                    raise DataError(
                        f"{path} has more than {_MAX_SPLITS} splits",
                        "The column split names a part of the data set: train, test, ...",
                    )
                found.add(record.split)
            if record.box is not None:
                boxed.add(record.split)
        if not found:
            raise DataError(f"{path} names no images", "Give it one line for each image.")
        if split is not None:
            if split not in found:
                raise ConfigError(
                    f"{path} has no split {split!r}",
                    f"Choose one that it has: {', '.join(sorted(found))}.",
                )
            found = {split}
        return cls(
            path,
            tuple(sorted(found)),
            boxed_splits=tuple(sorted(found & boxed)),
            has_targets=bool(columns.targets),
            whole_split=whole_split,
        )

    def find_boxed_splits(self) -> tuple[str, ...]:
        """Give the splits in which a row has a box."""
        return self._boxed_splits

    def records(self, split: str, *, start: int = 0) -> Iterator[Record]:
        """Stream the images of a split in the order of their lines, without the first ones."""
        return _read(self.path, self._whole_split, frozenset({split}), start)

    def all_records(self) -> Iterator[Record]:
        """Stream the images of all splits in the order of their lines."""
        return _read(self.path, self._whole_split, frozenset(self.splits))


class _Lines:
    """The lines of a file, as long as those of one row hold no more than they reasonably may.

    Attributes:
        characters: So many the present row has so far; whoever has read a row sets it to 0.
    """

    def __init__(self, handle: TextIO) -> None:
        self.characters = 0
        self._handle = handle

    def __iter__(self) -> Iterator[str]:
        while line := self._handle.readline(_MAX_ROW_CHARACTERS + 1):
            self.characters += len(line)
            if self.characters > _MAX_ROW_CHARACTERS:
                raise csv.Error(f"a row of more than {_MAX_ROW_CHARACTERS} characters")
            yield line


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Stream the rows that are not empty, each with the number of its last line."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as handle:
            lines = _Lines(handle)
            reader = csv.reader(lines, strict=True)
            try:
                for row in reader:
                    lines.characters = 0
                    if row:
                        yield reader.line_num, row
            except csv.Error as error:
                raise _wrong(path, reader.line_num, f"is not CSV ({error})") from error
    except OSError as error:
        raise DataError(
            f"cannot read the manifest {path}: {reason_of(error)}", "Check the path."
        ) from error


def _read_columns(path: Path) -> _Columns:
    """Read what the header says."""
    for line, header in _rows(path):
        names = [name.strip().lower() for name in header]
        classes = [find_class(name) for name in header]
        for name in ("path", "label"):
            if name not in names:
                raise _missing(path, line, name, header)
        found = [name for name in (*names, *filter(None, classes)) if name]
        for name in ("path", "label", "split", *Box._fields, *EMOTIONS):
            if found.count(name) > 1:
                raise _wrong(path, line, f"is a header with two columns for {name!r}")
        targets = tuple(classes.index(name) for name in EMOTIONS if name in classes)
        box = tuple(names.index(name) for name in Box._fields if name in names)
        if box and len(box) != len(Box._fields):
            raise _wrong(path, line, "is a header with some of x1,y1,x2,y2 but not all")
        if targets and len(targets) != len(EMOTIONS):
            raise _wrong(path, line, "is a header with some of the classes but not all")
        return _Columns(
            len(header),
            names.index("path"),
            names.index("label"),
            names.index("split") if "split" in names else None,
            box,
            targets,
        )
    raise DataError(f"the manifest {path} is empty", "Its first line names the columns.")


def _read(
    path: Path, whole_split: str, splits: frozenset[str] | None = None, start: int = 0
) -> Iterator[Record]:
    """Stream the records in the order of the lines; those left out are not looked at.

    Args:
        path: The manifest.
        whole_split: What to call the split of a manifest without splits.
        splits: Leave all others out; None checks that every split can be one.
        start: Leave so many out that would come first.
    """
    columns = _read_columns(path)
    rows = _rows(path)
    next(rows)
    for line, row in rows:
        if len(row) != columns.count:
            raise _wrong(path, line, f"has {len(row)} cells, but the header has {columns.count}")
        split = row[columns.split].strip() if columns.split is not None else whole_split
        if splits is None:
            if not is_split_name(split):
                raise _wrong(path, line, f"has the split {split!r}, which is not a valid name")
        elif split not in splits:
            continue
        if start > 0:
            start -= 1
            continue
        name = row[columns.path]
        if not name or "\0" in name or len(name) > _MAX_PATH_CHARACTERS:
            raise _wrong(path, line, "has no valid path")
        label = find_class(row[columns.label])
        if label is None:
            raise _wrong(path, line, f"has the unknown label {row[columns.label]!r}")
        yield Record(
            path.parent / name,
            label,
            split,
            name,
            box=_box([row[index] for index in columns.box], path, line),
            targets=_targets([row[index] for index in columns.targets], label, path, line),
        )


def _box(cells: list[str], path: Path, line: int) -> Box | None:
    """Read a box; None where its cells are empty."""
    numbers: list[float]
    try:
        numbers = [int(cell) for cell in cells]
    except ValueError:
        if _are_empty(cells):
            return None
        numbers = [_number(cell, path, line) for cell in cells]
    if not numbers:
        return None
    if max(map(abs, numbers)) > MAX_COORDINATE:
        raise _wrong(path, line, f"has the impossible box {','.join(cells)}")
    if any(numbers) and max(map(abs, numbers)) <= 1 and any(number % 1 for number in numbers):
        raise _wrong(path, line, f"has the box {','.join(cells)}, which is not in pixels")
    x1, y1, x2, y2 = (round(number) for number in numbers)
    return Box(x1, y1, x2, y2)


def _targets(cells: list[str], label: str, path: Path, line: int) -> tuple[float, ...] | None:
    """Read a soft label and bring it to sum 1; None without such columns."""
    if not cells:
        return None
    if _are_empty(cells):
        return tuple(float(name == label) for name in EMOTIONS)
    weights = [0.0 if _are_empty([cell]) else _number(cell, path, line) for cell in cells]
    total = sum(weights)
    if min(weights) < 0 or not 0 < total < math.inf:
        raise _wrong(path, line, "has class weights that are negative or sum to zero")
    return tuple(weight / total for weight in weights)


def _are_empty(cells: list[str]) -> bool:
    """Tell whether cells of numbers have none."""
    return all(cell.strip() in _EMPTY for cell in cells)


def _number(cell: str, path: Path, line: int) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(path, line, f"has {cell!r} instead of a number")
    return number


def _missing(path: Path, line: int, name: str, header: list[str]) -> DataError:
    """Say what the header has instead, and what spreadsheets do that makes it so."""
    what = f"is a header without the column {name!r}"
    whole = "".join(header)
    if whole.startswith(_UTF16_MARKS) or "\0" in whole:
        return DataError(
            f"{path}, line {line}, {what}: it is written in UTF-16",
            "Save it as UTF-8, with commas between the cells.",
        )
    seen = ", ".join(map(repr, header))
    seen = seen if len(seen) <= _SHOWN_CHARACTERS else f"{seen[:_SHOWN_CHARACTERS]}..."
    if ";" in whole or "\t" in whole:
        return DataError(
            f"{path}, line {line}, {what}, but with {seen}",
            "Separate the cells with commas, and save it as UTF-8.",
        )
    return _wrong(path, line, f"{what}, but with {seen}")


def _wrong(path: Path, line: int, what: str) -> DataError:
    return DataError(
        f"{path}, line {line}, {what}",
        f"Columns: path,label, optionally split, x1,y1,x2,y2, and a weight for every class; the "
        f"labels are {known_classes()}.",
    )
