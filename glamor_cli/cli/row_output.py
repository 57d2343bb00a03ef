"""Where the rows of predictions go: a table, standard output, or a file written atomically."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path

import typer

from glamor_cli.cli.closed_pipe import end_with_reader
from glamor_cli.cli.face_table import ErrorLines, FaceTable
from glamor_cli.cli.render import say
from glamor_cli.errors import INTERRUPTED, GlamorError
from glamor_cli.files.atomic import atomic_path, report_full_disk
from glamor_cli.predict.row_file import RowFile
from glamor_cli.predict.rows import FaceRow, RowFormat, RowSink, open_sink
from glamor_cli.system.undisturbed import undisturbed
from glamor_cli.vision.status import Status


@contextmanager
def open_rows(
    row_format: RowFormat, output: Path | None, columns: tuple[str, ...], *, saving: bool = False
) -> Iterator[RowSink]:
    """Open where rows go; after Ctrl-C, and in a file after any failure, those so far are kept.

    Where whoever read the rows has gone, the command ends with ``CLOSED_PIPE``.

    Args:
        row_format: How they are shown or written; a file takes no table.
        output: The file, written atomically; None is standard output.
        columns: ``COLUMNS`` or ``VIDEO_COLUMNS``.
        saving: Whether pictures are saved too: then a table that nobody reads ends nothing.

    Raises:
        ConfigError: The file, or a standard stream, cannot be written to, or has no more room.
    """
    if output is not None:
        with _write_file(row_format, output, columns) as sink:
            yield sink
        return
    streams: AbstractContextManager[RowSink] = (
        _show_table(saving=saving)
        if row_format is RowFormat.TABLE
        else _write_stdout(row_format, columns)
    )
    interrupted = False
    with streams as sink:
        rows = _Noticed(sink)
        try:
            yield rows
        except KeyboardInterrupt:
            interrupted = True
        except GlamorError:
            # A list that was begun is completed, as where a camera is lost.
            if rows.begun:
                rows.close()
            raise
        rows.close()
    if interrupted:
        kept = "the rows so far are kept" if rows.begun else "no row was written yet"
        say(f"interrupted: {kept}")
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _write_file(row_format: RowFormat, output: Path, columns: tuple[str, ...]) -> Iterator[RowSink]:
    failure: BaseException | None = None
    with ExitStack() as ending, report_full_disk(output):
        with atomic_path(output) as temporary, temporary.open("wb", buffering=0) as file:
            rows = RowFile(file, row_format, columns)
            try:
                yield _ErrorPrinter(rows)
                rows.close()
            except (Exception, KeyboardInterrupt) as error:
                # A second Ctrl-C waits until the rows so far are in place.
                ending.enter_context(undisturbed())
                # An earlier file must not be lost for one without a row.
                if not rows.cut():
                    raise
                failure = error
        if failure is not None:
            say(f"the rows so far are in {output}")
            raise failure


@contextmanager
def _show_table(*, saving: bool) -> Iterator[RowSink]:
    with end_with_reader("standard error"):
        yield FaceTable(is_all=not saving)


@contextmanager
def _write_stdout(row_format: RowFormat, columns: tuple[str, ...]) -> Iterator[RowSink]:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    with end_with_reader("standard output"):
        try:
            yield _ErrorPrinter(open_sink(row_format, sys.stdout, columns))
        except OSError:
            # Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


class _Noticed:
    """Passes rows on, and knows whether there was one."""

    def __init__(self, sink: RowSink) -> None:
        self.begun = False
        self._sink = sink

    def write(self, rows: Iterable[FaceRow]) -> None:
        rows = list(rows)
        self.begun = self.begun or bool(rows)
        self._sink.write(rows)

    def close(self) -> None:
        self._sink.close()


class _ErrorPrinter:
    """Passes rows on, and shows errors to people, who do not see the rows."""

    def __init__(self, sink: RowSink) -> None:
        self._sink = sink
        self._errors = ErrorLines()

    def write(self, rows: Iterable[FaceRow]) -> None:
        rows = list(rows)
        self._sink.write(rows)
        for row in rows:
            if row.status is Status.ERROR:
                self._errors.print(row)

    def close(self) -> None:
        self._sink.close()
