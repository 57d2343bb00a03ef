r"""The index of a split: one line for each image of the data set, in its order.

Columns: ``row`` (in the arrays; empty where the image is not stored), ``source``, ``label``,
``x1,y1,x2,y2`` (the face's box in pixels as it was given, not clipped), ``score`` (the
detector's), ``status``, ``crc32`` (of the row's bytes in all arrays) and ``reason`` (of an error).

A file name may hold anything; so that the file stays UTF-8 with one line an image, ``source`` and
``reason`` write a backslash as ``\\``, control characters as ``\n``, ``\r`` or ``\xNN``, and bytes
that are not UTF-8 as ``\udcNN``.
"""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from glamor_cli.errors import DataError, reason_of
from glamor_cli.files.csv_line import csv_line
from glamor_cli.files.reading import open_file
from glamor_cli.vision.pairs import Box
from glamor_cli.vision.status import Status

COLUMNS = ("row", "source", "label", *Box._fields, "score", "status", "crc32", "reason")
HEADER = (",".join(COLUMNS) + "\n").encode("ascii")

_SCORE_DIGITS = 6

_CRC32 = re.compile("[0-9a-f]{8}")
_ESCAPED = re.compile("[\\\\\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(\\|n|r|x[0-9a-f]{2}|u[0-9a-f]{4})")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
# The csv module takes cells of at most 131072 characters; escaped, each may take 6 bytes.
_MAX_LINE_BYTES = 4 << 20
_LONG = {"\\": "\\", "n": "\n", "r": "\r"}


# Looked up by value for every row: calling the enum takes several times as long.
_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True)
class IndexRow:
    """One image of a split.

    Attributes:
        row: Its row in the arrays; None where it is not stored.
        source: Its name in the data set.
        label: Name of its class.
        status: What became of it.
        box: The face's box; None where there was an error.
        score: The detector's confidence; None where no detector was asked.
        crc32: Over the row's bytes in all arrays; None where it is not stored.
        reason: Of an error.
    """

    row: int | None
    source: str
    label: str
    status: Status
    box: Box | None = None
    score: float | None = None
    crc32: int | None = None
    reason: str = ""

    def to_line(self) -> bytes:
        """Write as a line of the index."""
        cells = (
            self.row,
            _escape(self.source),
            self.label,
            *(self.box or (None, None, None, None)),
            None if self.score is None else f"{self.score:.{_SCORE_DIGITS}f}",
            self.status.value,
            None if self.crc32 is None else f"{self.crc32:08x}",
            _escape(self.reason),
        )
        return csv_line(cells).encode("utf-8")

    @classmethod
    def from_line(cls, line: bytes) -> "IndexRow":
        """Read what ``to_line`` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            (cells,) = csv.reader([line.decode("utf-8")], strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        row, source, label, x1, y1, x2, y2, score, status, crc32, reason = cells
        if (row == "") != (crc32 == ""):
            raise ValueError("a row without its crc32")
        return cls(
            int(row) if row else None,
            _unescape(source),
            label,
            _STATUSES.get(status) or Status(status),
            Box(int(x1), int(y1), int(x2), int(y2)) if x1 else None,
            _score(score) if score else None,
            _checksum(crc32) if crc32 else None,
            _unescape(reason),
        )


def _checksum(text: str) -> int:
    """Read a row's checksum: ``int`` alone takes signs, blanks and any length as well."""
    if not _CRC32.fullmatch(text):
        raise ValueError(f"a crc32 of {text}")
    return int(text, 16)


def _score(text: str) -> float:
    """Read a detector's confidence, to the digits that are written."""
    score = round(float(text), _SCORE_DIGITS)
    if not math.isfinite(score):
        raise ValueError(f"a score of {text}")
    return score


def read_index(path: Path, *, unfinished: bool = False) -> Iterator[tuple[IndexRow, int]]:
    """Stream an index: each image, and where in the file its line ends.

    Args:
        path: The ``index.csv``.
        unfinished: A last line without its end is one that a killed run was writing: leave it out.

    Raises:
        DataError: The index is missing or damaged; the message names the line.
    """
    number = 1
    try:
        with open_file(path) as handle:
            lines = iter(partial(handle.readline, _MAX_LINE_BYTES), b"")
            line = next(lines, b"")
            if line != HEADER:
                if unfinished and HEADER.startswith(line):
                    return
                raise ValueError("is not the header of an index")
            end, expected = len(line), 0
            for number, line in enumerate(lines, start=2):  # noqa: B007 - for the message
                if not line.endswith(b"\n"):
                    if unfinished and len(line) < _MAX_LINE_BYTES:
                        return
                    raise ValueError("has no end")
                entry = IndexRow.from_line(line)
                if entry.row is not None:
                    if entry.row != expected:
                        raise ValueError(f"is row {entry.row}, not {expected}")
                    expected += 1
                end += len(line)
                yield entry, end
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {reason_of(error)}", "Preprocess into a new folder."
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path} is damaged: line {number} {error}", "Preprocess into a new folder."
        ) from error


def _escape(text: str) -> str:
    def write(match: re.Match[str]) -> str:
        character = match.group()
        code = ord(character)
        return _SHORT.get(character) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")

    return _ESCAPED.sub(write, text)


def _unescape(text: str) -> str:
    if "\\" not in text:  # As nearly all: this is called for every image of a store.
        return text

    def read(match: re.Match[str]) -> str:
        code = match.group(1)
        return _LONG.get(code) or chr(int(code[1:], 16))

    return _ESCAPE.sub(read, text)
