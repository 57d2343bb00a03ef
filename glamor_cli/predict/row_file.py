"""Rows in a file that ends with a whole row, also where there is no more room."""

import io
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from glamor_cli.predict.rows import FaceRow, RowFormat, open_sink


class RowFile:
    """A sink on a file; after a failure it can be cut to the whole rows that it holds.

    Args:
        file: An empty file without a buffer: what has no room must not be written later.
        row_format: The format.
        columns: ``COLUMNS`` or ``VIDEO_COLUMNS``.
    """

    def __init__(self, file: io.FileIO, row_format: RowFormat, columns: tuple[str, ...]) -> None:
        self._file = file
        self._text = io.StringIO(newline="")
        self._sink = open_sink(row_format, self._text, columns)
        # Two: the end of a JSON array may need the room of the last row.
        self._last_ends: deque[int] = deque(maxlen=2)

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Write rows and pass them on at once."""
        for row in rows:
            self._sink.write([row])
            self._pass_on()
            self._last_ends.append(self._file.tell())

    def close(self) -> None:
        """Complete what was written."""
        self._sink.close()
        self._pass_on()

    def cut(self) -> bool:
        """Leave out what follows the last whole row, and complete the rest; false if none is."""
        while self._last_ends:
            self._file.seek(self._last_ends.pop())
            self._file.truncate()
            with suppress(OSError):
                self.close()
                return True
        return False

    def _pass_on(self) -> None:
        data = self._text.getvalue().encode("utf-8", "backslashreplace")
        self._text.seek(0)
        self._text.truncate()
        while data:
            data = data[self._file.write(data) :]
