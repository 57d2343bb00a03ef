"""Rows of predictions, one per face, and the machine-readable forms they are written in.

The columns are a contract: the same ones in the same order for every row and every format. Runs
with a video among their sources have more of them, empty for images.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Protocol, SupportsFloat, TextIO

from glamor_cli.files.csv_line import csv_line
from glamor_cli.settings import choose
from glamor_cli.vision.status import Status


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
        source: The image's path as found, the name of a ``SourceImage``, or a camera's
            address without passwords.
        face: The face's number within the image, from 1, the most confident first.
        status: Whether there is an answer.
        box: The face in whole pixels, inside the image; x2 and y2 exclusive.
        detector_score: How sure the detector is, from 0 to 1 for CenterFace.
        emotion: The most probable emotion.
        probability: Its probability.
        probabilities: All emotions' probabilities.
        face_weight: Share of the face in the fusion.
        context_weight: Share of the context.
        frame: Of a video or a camera: the frame's number, from 0.
        time: Of a video or a camera: seconds since its beginning, or since its first frame.
        track: Of a video or a camera: the person's number, from 1, the same up to the next cut or a
            longer absence.
        smoothed_emotion: Of a video or a camera: the most probable emotion, smoothed in time.
        smoothed_probability: Its probability.
        smoothed_probabilities: All emotions' probabilities, smoothed in time.
        reason: Why the source could not be read.
        remedy: What to do about that; said to people, and no column.
    """

    source: str
    face: int | None
    status: Status
    box: tuple[int, int, int, int] | None = None
    detector_score: float | None = None
    emotion: str | None = None
    probability: float | None = None
    # A dictionary has no hash, and rows are to be kept in sets.
    probabilities: dict[str, float] | None = field(default=None, hash=False)
    face_weight: float | None = None
    context_weight: float | None = None
    frame: int | None = None
    time: float | None = None
    track: int | None = None
    smoothed_emotion: str | None = None
    smoothed_probability: float | None = None
    smoothed_probabilities: dict[str, float] | None = field(default=None, hash=False)
    reason: str | None = None
    remedy: str | None = None

    def to_dict(self, columns: tuple[str, ...]) -> dict[str, Any]:
        """Give columns by name, in their order."""
        return {column: getattr(self, column) for column in columns}


def rounded(value: SupportsFloat) -> float:
    """Six digits: what float32 holds of a probability, microseconds, and short to read."""
    return round(float(value), 6)


def by_emotion(classes: Iterable[str], probabilities: Iterable[SupportsFloat]) -> dict[str, float]:
    """Give each emotion's probability by its name, rounded as rows have it."""
    return {name: rounded(value) for name, value in zip(classes, probabilities, strict=True)}


_OF_VIDEO = frozenset(
    {
        "frame",
        "time",
        "track",
        "smoothed_emotion",
        "smoothed_probability",
        "smoothed_probabilities",
    }
)
VIDEO_COLUMNS: tuple[str, ...] = tuple(
    entry.name for entry in fields(FaceRow) if entry.name != "remedy"
)
"""The columns of every format, in order, where a video is among the sources."""
COLUMNS: tuple[str, ...] = tuple(name for name in VIDEO_COLUMNS if name not in _OF_VIDEO)
"""The columns of every format, in order, where all sources are images."""


class RowSink(Protocol):
    """Takes rows as they come; ``close`` completes the text (and leaves the stream open)."""

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""

    def close(self) -> None:
        """Complete what was written."""


class JsonLinesSink:
    """One JSON object a line."""

    def __init__(self, stream: TextIO, columns: tuple[str, ...]) -> None:
        self._stream = stream
        self._columns = columns

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._stream.write(_to_json(row, self._columns) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left to complete."""


class JsonSink:
    """One JSON array, written row by row, so that it may be longer than memory."""

    def __init__(self, stream: TextIO, columns: tuple[str, ...]) -> None:
        self._stream = stream
        self._columns = columns
        # Nothing is written before the first row is there: until then everything may fail.
        self._before = "["

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._stream.write(f"{self._before}\n  {_to_json(row, self._columns)}")
            self._before = ","
        self._stream.flush()

    def close(self) -> None:
        """Close the array, whatever has been written of it."""
        self._stream.write("[\n]\n" if self._before == "[" else "\n]\n")
        self._stream.flush()


class CsvSink:
    """A header and one line per row; lists and objects are JSON within their cell."""

    def __init__(self, stream: TextIO, columns: tuple[str, ...]) -> None:
        self._stream = stream
        self._columns = columns
        self._begun = False

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._begin()
            self._stream.write(csv_line(map(_to_cell, row.to_dict(self._columns).values())))
        self._stream.flush()

    def close(self) -> None:
        """Write the header, if it is all there is."""
        self._begin()
        self._stream.flush()

    def _begin(self) -> None:
        if not self._begun:
            self._stream.write(csv_line(self._columns))
            self._begun = True


def open_sink(row_format: RowFormat, stream: TextIO, columns: tuple[str, ...] = COLUMNS) -> RowSink:
    """Open a sink for a machine-readable format on a text stream.

    Args:
        row_format: The format.
        stream: Where the rows go.
        columns: ``COLUMNS`` or ``VIDEO_COLUMNS``.

    Raises:
        ConfigError: There is no such format.
        ValueError: A table is not a machine-readable format.
    """
    match choose(RowFormat, row_format, "format"):
        case RowFormat.JSONL:
            return JsonLinesSink(stream, columns)
        case RowFormat.JSON:
            return JsonSink(stream, columns)
        case RowFormat.CSV:
            return CsvSink(stream, columns)
        case RowFormat.TABLE:
            raise ValueError("a table is shown, not written")


def _to_json(row: FaceRow, columns: tuple[str, ...]) -> str:
    # A name that is not Unicode stays a lone surrogate here; streams escape it as \udcXX, which
    # JSON reads back to the very same name.
    return json.dumps(row.to_dict(columns), ensure_ascii=False, allow_nan=False)


def _to_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | tuple) else value
