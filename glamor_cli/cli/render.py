"""What every command shows: errors, progress and tables, all on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from glamor_cli.errors import GlamorError

if TYPE_CHECKING:
    from rich.progress import Progress

console = Console(stderr=True, highlight=False)
"""Standard error: standard output belongs to machine-readable output alone."""

INTERRUPTED = 130
"""The exit code of a run ended by Ctrl-C, as shells have it, or by SIGTERM."""


def print_error(error: GlamorError) -> None:
    """Print one line saying what is wrong and one saying what to do."""
    # soft_wrap keeps each on one line; markup off because paths may hold brackets.
    console.quiet = False  # one of several processes may have let another speak until now
    console.print("error:", style="bold red", end=" ")
    console.print(printable(error.what), markup=False, soft_wrap=True)
    console.print(printable(error.remedy), markup=False, soft_wrap=True)


@contextmanager
def progress_bar(unit: str) -> "Iterator[Progress]":
    """Show a progress bar with rate and remaining time.

    If the work fails before anything was counted, the bar is erased, so that only the error's two
    lines remain.

    Args:
        unit: What is counted, in the plural: ``images``. Each task carries a ``rate`` field, a
            string such as ``31.4``.
    """
    # Imported here because it is slow, and quick commands show no bar.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{{task.fields[rate]}} {unit}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        try:
            yield bar
        except BaseException:
            if not any(task.completed for task in bar.tasks):
                bar.live.transient = True
                bar.live.stop()
                bar.disable = True
            raise


def printable(name: str) -> str:
    """Make a name fit for one line of a terminal: control characters are spelled out."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
