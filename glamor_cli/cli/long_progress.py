"""Progress of runs that may take a week: a bar on a terminal, a line now and then in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from glamor_cli.cli.render import ShowProgress, console, progress_bar

_LINE_SECONDS = 30.0


@contextmanager
def long_progress(doing: str, unit: str) -> Iterator[ShowProgress]:
    """Lend a function that shows progress, with the rate and the time that is left.

    Args:
        doing: What is done: ``preprocessing``.
        unit: What is counted, in the plural: ``images``.
    """
    if not console.is_terminal:
        yield _Lines(doing, unit)
        return
    with progress_bar(doing, unit) as show:
        yield show


class _Lines:
    """Progress in a scheduler's log, where a bar would show nothing before the end."""

    def __init__(self, doing: str, unit: str) -> None:
        self._doing = doing
        self._unit = unit
        self._shown = time.monotonic()

    def __call__(
        self, done: int, total: int | None, *, doing: str | None = None, rate: float | None = None
    ) -> None:
        if total is None or time.monotonic() - self._shown < _LINE_SECONDS:
            return
        self._shown = time.monotonic()
        left = timedelta(seconds=round((total - done) / rate)) if rate else "unknown time"
        console.print(
            f"{doing or self._doing}: {done} of {total} {self._unit} ({done / max(total, 1):.1%}), "
            f"{rate or 0:.1f} {self._unit}/s, {left} left",
            soft_wrap=True,
        )
