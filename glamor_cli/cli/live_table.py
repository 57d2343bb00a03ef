"""Who is before a camera now, on a terminal."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.face_table import FACE_COLUMNS, ErrorLines, columns_beside, face_cells
from glamor_cli.cli.render import console
from glamor_cli.predict.rows import FaceRow
from glamor_cli.vision.status import Status


@contextmanager
def live_table() -> Iterator["LiveTable"]:
    """Lend a table that goes when the block ends: it was about now."""
    with Live(console=console, transient=True, redirect_stdout=False) as live:
        yield LiveTable(live)


class LiveTable:
    """A sink that shows the newest frame's people in the place of those before."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._errors = ErrorLines()

    def write(self, rows: Iterable[FaceRow]) -> None:
        """Show one frame's rows."""
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        # Rich would cut the figures; and a terminal may change its width while it is watched.
        columns = columns_beside(0)
        for column in columns:
            table.add_column(
                column.title,
                justify=column.side,
                min_width=column.width,
                no_wrap=True,
                overflow="ellipsis",
            )
        for row in rows:
            if row.status is Status.ERROR:
                self._errors.print(row)
            elif row.status is Status.OK:
                cells = zip(FACE_COLUMNS, face_cells(row), strict=True)
                # Text, not strings: names may hold brackets, which markup would take.
                table.add_row(*(Text(cell) for column, cell in cells if column in columns))
        self._live.update(table if table.row_count else Text("nobody is seen", "dim"))

    def close(self) -> None:
        """Nothing is left to show."""
