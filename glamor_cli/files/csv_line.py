"""A line of CSV, whatever is in its cells."""

import csv
import io
from collections.abc import Iterable


def csv_line(cells: Iterable[object]) -> str:
    """Write cells as a line that ends in a line feed.

    Only cells that must be are quoted: polars, for one, takes a quoted empty cell for text.
    """
    text = io.StringIO(newline="")
    # Where lines end in a line feed alone, Python 3.11 does not quote a carriage return.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"
