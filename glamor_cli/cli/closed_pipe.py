"""A command whose reader has gone, as ``| head`` goes, ends quietly with a code of its own."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from glamor_cli.files.atomic import report_full_disk

CLOSED_PIPE = 141
"""The exit code of a program whose reader has gone (128 + SIGPIPE), as shells have it."""


@contextmanager
def end_with_reader(stream: str) -> Iterator[None]:
    """End the command with ``CLOSED_PIPE`` where whoever read a stream has gone.

    Args:
        stream: Its name, for the message of a full disk.

    Raises:
        ConfigError: The disk that it leads to is full.
    """
    try:
        with report_full_disk(stream):
            yield
    except OSError as error:
        if not _is_closed_pipe(error):
            raise
        # The reader has enough (`| head`).
        raise typer.Exit(CLOSED_PIPE) from None


def _is_closed_pipe(error: OSError) -> bool:
    # Windows calls it an invalid argument, but then names no file.
    on_windows = sys.platform == "win32" and error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or on_windows
