"""A line of CSV, whatever is in its cells."""

import csv
import io
from collections.abc import Iterable


def csv_line(cells: Iterable[object]) -> str:
    """Write cells as a line that ends in a line feed.

    Cells are quoted where they must be. Python's ``csv`` forgets that of a carriage return where
    lines end in a line feed alone, and names of files may hold one.
    """
    values = list(cells)
    text = io.StringIO(newline="")
    broken = any(isinstance(value, str) and "\r" in value for value in values)
    csv.writer(
        text,
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL,
    ).writerow(values)
    return text.getvalue()
