"""Rows of predictions shown to people, on standard error, as they come."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.render import console, printable, say
from glamor_cli.predict.rows import FaceRow
from glamor_cli.vision.status import Status

_BAR = 10
_SECOND = 13


@dataclass(frozen=True)
class Column:
    """A column of what is said of a face.

    Attributes:
        title: What stands above.
        width: In cells.
        side: Where its text begins.
        leaves: Where there is little room the columns leave in this order; 0 stays.
    """

    title: str
    width: int
    side: JustifyMethod
    leaves: int = 0


FACE_COLUMNS = (
    Column("", 4, "right"),
    Column("emotion", 9, "left"),
    Column("", _BAR, "left", leaves=1),
    Column("", 4, "right"),
    Column("second", _SECOND, "left", leaves=2),
    Column("face:context", 12, "right", leaves=3),
)
_NAME_WIDTHS = (16, 48)
_LEAST_NAME = 4
"""Where even the columns that stay leave no room: the dots of a shortened name, and a letter."""


class FaceTable:
    """A sink that prints a table row by row: its columns have fixed widths.

    Args:
        is_all: Whether the work gives nothing else; it then ends where nobody can see the table.
    """

    def __init__(self, *, is_all: bool = True) -> None:
        self._is_all = is_all
        self._started = False
        self._errors = ErrorLines()
        self._columns = columns = columns_beside(_NAME_WIDTHS[0])
        # Rich would take what is missing from all columns, and cut the figures.
        self._name_width = min(max(_room_beside(columns), _LEAST_NAME), _NAME_WIDTHS[1])

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Print rows.

        Raises:
            OSError: Nothing more can be shown, and the table is all.
        """
        for row in rows:
            self._show(row)
        if self._is_all and console.failure is not None:
            raise console.failure

    def close(self) -> None:
        """Nothing is left to print."""

    def _show(self, row: FaceRow) -> None:
        if row.status is Status.ERROR:
            self._errors.print(row)
            return
        if not self._started:
            self._print("bold", "image", *(column.title for column in FACE_COLUMNS))
            self._started = True
        # An image is named once, before its first face.
        name = "" if row.face and row.face > 1 else _keep_end(_place(row), self._name_width)
        if row.status is Status.NO_FACE:
            self._print("dim", name, "", "no face", *[""] * (len(FACE_COLUMNS) - 2))
        else:
            self._print("", name, *face_cells(row))

    def _print(self, style: str, *cells: str) -> None:
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=self._name_width, no_wrap=True)
        name, *others = cells
        shown = [name]
        for column, cell in zip(FACE_COLUMNS, others, strict=True):
            if column in self._columns:
                shown.append(cell)
                grid.add_column(
                    width=column.width, no_wrap=True, overflow="ellipsis", justify=column.side
                )
        # Text, not strings: names may hold brackets, which markup would take.
        grid.add_row(*(Text(cell, style) for cell in shown))
        console.print(grid)


def face_cells(row: FaceRow) -> tuple[str, ...]:
    """Say what is known of a face: its number, and what the columns of ``FACE_COLUMNS`` hold.

    Of videos, that is what is said of a person over time: the network's answers for single frames
    are for programs.

    Args:
        row: Of a face.
    """
    probabilities = row.smoothed_probabilities or row.probabilities or {}
    # Of equal ones the first, as in rows.
    emotion, second = sorted(probabilities, key=probabilities.__getitem__, reverse=True)[:2]
    best, weight = probabilities[emotion], row.face_weight or 0.0
    sure = f" {probabilities[second]:.0%}"
    # A name that is too long is cut, but not the figure behind it.
    then = Text(second)
    then.truncate(_SECOND - len(sure), overflow="ellipsis")
    bar = "\u2588" if console.encoding.lower().startswith("utf") else "#"
    return (
        str(row.face if row.track is None else row.track),
        emotion,
        bar * max(1, round(_BAR * best)),
        f"{best:.0%}",
        f"{then}{sure}",
        f"{weight:.0%}:{1 - weight:.0%}",
    )


def columns_beside(width: int) -> tuple[Column, ...]:
    """Choose the columns for which the terminal has room beside something of a width in cells."""
    columns = list(FACE_COLUMNS)
    for leaving in sorted(filter(_leaves, FACE_COLUMNS), key=_leaves):
        if _room_beside(columns) >= width:
            break
        columns.remove(leaving)
    return tuple(columns)


def _leaves(column: Column) -> int:
    return column.leaves


def _room_beside(columns: Iterable[Column]) -> int:
    """How wide an image's name may be beside columns."""
    return console.width - sum(column.width + 1 for column in columns)


class ErrorLines:
    """Says on a line why each source could not be read, and on another what to do, once of each."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def print(self, row: FaceRow) -> None:
        """Print what is said of one source."""
        what = Text.assemble(("error: ", "bold red"), error_line(row))
        console.print(what, soft_wrap=True)
        if row.remedy and row.remedy not in self._said:
            self._said.add(row.remedy)
            say(row.remedy)


def error_line(row: FaceRow) -> str:
    """Say on one line which source could not be read, and why."""
    source, reason = printable(row.source), printable(row.reason or "")
    named = re.search(rf"(^|\s){re.escape(source)}([\s:,]|$)", reason)
    return reason if named else f"{source}: {reason}"


def _place(row: FaceRow) -> str:
    """Name an image, or a frame of a video by its time."""
    return row.source if row.time is None else f"{row.source} {row.time:.2f}s"


def _keep_end(name: str, width: int) -> str:
    """Shorten a path, keeping its end, which tells it from others."""
    shown = printable(name)
    if cell_len(shown) <= width:
        return shown
    # Chinese letters, for one, are two cells wide.
    while cell_len(shown) > width - 3:
        shown = shown[1:]
    return f"...{shown}"
