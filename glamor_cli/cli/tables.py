"""Tables of results: whole names and figures in any number of columns."""

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.render import console

_LEAST_FOLDED = 20
"""Cells that are left to a column that folds its text."""
_ENDLESS = 10_000


def print_table(table: Table) -> None:
    """Print a table; where its cells have no room side by side, a line for each row.

    A column whose ``overflow`` is ``fold`` may give up room; titles have their breaks where they
    may be broken.
    """
    folding = [column for column in table.columns if column.overflow == "fold"]
    for column in table.columns:
        column.no_wrap = column not in folding
    for column in folding:
        column.max_width = _LEAST_FOLDED
    wide = console.options.update(max_width=_ENDLESS)
    needed = Measurement.get(console, wide, table).maximum
    for column in folding:
        column.max_width = None
    if needed <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(Text(f"{table.title}", "italic"))
    first, *others = table.columns
    if first.header:
        console.print(Text(f"{first.header}", "bold"))
    for name, *cells in zip(*(column.cells for column in table.columns), strict=True):
        titled = (
            f"{column.header} {cell}".replace("\n", " ")
            for column, cell in zip(others, cells, strict=True)
            if str(cell)
        )
        console.print(Text.assemble((str(name), "bold"), ": ", "; ".join(titled)))
