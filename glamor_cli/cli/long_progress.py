"""Progress of runs that may take a week: a bar on a terminal, a line now and then in a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from glamor_cli.cli.render import ShowProgress, console, progress_bar, say

_LINE_SECONDS = 30.0


@contextmanager
def long_progress(doing: str, unit: str, *, counted: str | None = None) -> Iterator[ShowProgress]:
    """Lend a function that shows progress, with the rate and the time that is left.

    Args:
        doing: What is done: ``preprocessing``.
        unit: Of what the rate is, in the plural: ``images``.
        counted: What is counted, if that is something else: ``steps``.
    """
    if not console.is_interactive:
        yield _Lines(doing, unit, counted or unit)
        return
    with progress_bar(doing, unit) as show:
        yield show


class _Lines:
    """Progress in a scheduler's log, where a bar would show nothing before the end."""

    def __init__(self, doing: str, unit: str, counted: str) -> None:
        self._doing = doing
        self._unit = unit
        self._counted = counted
        self._shown = time.monotonic()
        self._began, self._before = self._shown, 0
        self._done: int | None = None

    def __call__(
        self, done: int, total: int | None, *, doing: str | None = None, rate: float | None = None
    ) -> None:
        now = time.monotonic()
        if self._done is None or done < self._done:  # of several works, the next one
            self._began, self._before = now, done
        self._done = done
        if total is None or now - self._shown < _LINE_SECONDS:
            return
        self._shown = now
        passed, done_since = now - self._began, done - self._before
        lasting = passed / max(done_since, 1) * (total - done)
        left = timedelta(seconds=round(lasting)) if done_since else "unknown time"
        known = done_since / max(passed, 1e-9) if rate is None else rate
        say(
            f"{doing or self._doing}: {done} of {total} {self._counted} "
            f"({done / max(total, 1):.1%}), {known:.1f} {self._unit}/s, {left} left"
        )
