"""Rows of predictions, one per face, and the machine-readable forms they are written in.

The columns are a contract: the same ones in the same order for every row and every format.
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Protocol, TextIO


class Status(StrEnum):
    """What became of an image or a face."""

    OK = "ok"
    """A face was found and recognised."""
    NO_FACE = "no_face"
    """The image was read, and no face was found in it."""
    ERROR = "error"
    """The source could not be read; ``reason`` says why."""


class RowFormat(StrEnum):
    """How rows are shown or written."""

    TABLE = "table"
    JSONL = "jsonl"
    JSON = "json"
    CSV = "csv"


@dataclass(frozen=True)
class FaceRow:
    """One face, or one image without a face, or one source that could not be read.

    Attributes:
        source: The image's path as found.
        face: The face's number within the image, from 1, the most confident first.
        status: Whether there is an answer.
        box: The face in whole pixels, inside the image; x2 and y2 exclusive.
        detector_score: How sure the detector is, from 0 to 1 for CenterFace.
        emotion: The most probable emotion.
        probability: Its probability.
        probabilities: All emotions' probabilities.
        face_weight: Share of the face in the fusion.
        context_weight: Share of the context.
        reason: Why the source could not be read.
    """

    source: str
    face: int | None
    status: Status
    box: tuple[int, int, int, int] | None = None
    detector_score: float | None = None
    emotion: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    face_weight: float | None = None
    context_weight: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the columns by name, in the contract's order."""
        return {column: getattr(self, column) for column in COLUMNS}


COLUMNS: tuple[str, ...] = tuple(entry.name for entry in fields(FaceRow))
"""The columns of every format, in order."""


class RowSink(Protocol):
    """Takes rows as they come; ``close`` completes the text (and leaves the stream open)."""

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""

    def close(self) -> None:
        """Complete what was written."""


class JsonLinesSink:
    """One JSON object a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._stream.write(_to_json(row) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left to complete."""


class JsonSink:
    """One JSON array, written row by row, so that it may be longer than memory."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._separator = ""
        stream.write("[")

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._stream.write(f"{self._separator}\n  {_to_json(row)}")
            self._separator = ","
        self._stream.flush()

    def close(self) -> None:
        """Close the array, whatever has been written of it."""
        self._stream.write("\n]\n")
        self._stream.flush()


class CsvSink:
    """A header and one line per row; lists and objects are JSON within their cell."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._writer.writerow({name: _to_cell(value) for name, value in row.to_dict().items()})
        self._stream.flush()

    def close(self) -> None:
        """Pass on the header, if it is all there is."""
        self._stream.flush()


def open_sink(row_format: RowFormat, stream: TextIO) -> RowSink:
    """Open a sink for a machine-readable format on a text stream.

    Raises:
        ValueError: A table is no machine-readable format.
    """
    match row_format:
        case RowFormat.JSONL:
            return JsonLinesSink(stream)
        case RowFormat.JSON:
            return JsonSink(stream)
        case RowFormat.CSV:
            return CsvSink(stream)
        case RowFormat.TABLE:
            raise ValueError("a table is shown, not written")


def _to_json(row: FaceRow) -> str:
    # A name that is no Unicode stays a lone surrogate here; streams escape it as \udcXX, which
    # JSON reads back to the very same name.
    return json.dumps(row.to_dict(), ensure_ascii=False, allow_nan=False)


def _to_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | tuple) else value
