"""What every command shows: errors, progress and tables, all on standard error."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import typer
from rich.console import Console

from glamor_cli.errors import INTERRUPTED, GlamorError


class _Console(Console):
    """Goes on in silence where nothing can be said any more: the work matters more.

    So it is where a terminal is gone, as after ``nohup``, where whoever read has gone, and where a
    disk is full.

    Attributes:
        failure: Why nothing more can be said; None while it can.
    """

    failure: OSError | None = None

    def __exit__(self, *details: Any) -> None:
        try:
            super().__exit__(*details)
        except OSError as failure:
            self.failure = failure
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())

    def on_broken_pipe(self) -> None:
        """Leave the error to ``__exit__``: rich, where it is caught, would end the program."""
        raise  # noqa: PLE0704


console = _Console(stderr=True, highlight=False, emoji=False)
"""Standard error: standard output belongs to machine-readable output alone."""

_BAR = 12
"""Cells of a progress bar."""


def print_error(error: GlamorError) -> None:
    """Print one line saying what is wrong and one saying what to do."""
    console.quiet = False  # one of several processes may have let another speak until now
    console.print("error:", style="bold red", end=" ")
    say(error.what)
    say(error.remedy)


def exit_stopped(
    what: str, remedy: str | None = "Run the same command again: it goes on from here."
) -> NoReturn:
    """End a command that was asked to stop.

    Args:
        what: One line saying what is kept.
        remedy: One line saying how to go on; None where no command does.

    Raises:
        typer.Exit: Always, with the code ``INTERRUPTED``.
    """
    say(f"stopped; {what}")
    if remedy is not None:
        say(remedy)
    raise typer.Exit(INTERRUPTED) from None


class ShowProgress(Protocol):
    """Shows how far some work is."""

    def __call__(
        self, done: int, total: int | None, *, doing: str | None = None, rate: float | None = None
    ) -> None:
        """Show how many of ``total`` are done.

        Args:
            done: How many are.
            total: Of how many; None where nobody knows yet, of which logs say nothing.
            doing: What is done now; None leaves what was said before.
            rate: How many a second, where the work knows better than the clock.
        """


@contextmanager
def progress_bar(doing: str, unit: str) -> Iterator[ShowProgress]:
    """Show a progress bar with rate and remaining time.

    If the work ends or fails before anything was counted, the bar is erased, so that only what is
    said of that remains.

    Args:
        doing: What is done at first.
        unit: What is counted, in the plural: ``images``.
    """
    # Imported here because it is slow, and quick commands show no bar.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    # A training's line has room in 80 columns. In fewer the bar, which may wrap, gives way first.
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=_BAR),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
        console=console,
        # That belongs to machine-readable output, also while a bar is shown.
        redirect_stdout=False,
    )
    task = bar.add_task(doing, total=None, rate="")

    def show(
        done: int, total: int | None, *, doing: str | None = None, rate: float | None = None
    ) -> None:
        named = None if doing is None else printable(doing)
        bar.update(task, description=named, completed=done, total=total)
        known = bar.tasks[task].speed if rate is None else rate
        # Work of one step has no rate that a clock could tell.
        bar.update(task, rate=f"{_short(known)} {unit}/s" if known else "")

    with bar:
        try:
            yield show
        finally:
            if not any(task.completed for task in bar.tasks):
                bar.live.transient = True
                bar.live.stop()
                bar.disable = True


def _short(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.2g}"


def printable(name: str) -> str:
    """Make a name fit for one line of a terminal: control characters are spelled out."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )


def say(text: str, *, style: str = "", end: str = "\n") -> None:
    """Print a line that may be as long as it likes, and hold the names of files.

    Args:
        text: It stays on one line, also in narrow terminals, for whoever reads or copies it.
        style: As rich has it.
        end: What follows.
    """
    # Without markup, because paths may hold brackets.
    console.print(printable(text), style=style, end=end, markup=False, soft_wrap=True)


def say_notes(notes: Iterable[str]) -> None:
    """Print sentences that nobody should overlook, a line each."""
    for note in notes:
        say(note, style="yellow")
