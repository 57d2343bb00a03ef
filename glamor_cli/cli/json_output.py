"""What a command found, for programs, in a file or on standard output: ``--json``, ``--csv``."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import typer

from glamor_cli.cli.closed_pipe import end_with_reader
from glamor_cli.cli.render import say
from glamor_cli.files.atomic import write_text

STANDARD_OUTPUT = Path("-")


def json_option(what: str) -> Any:
    """Make the option ``--json`` of a command.

    Args:
        what: What is written, for the help: ``the figures``.
    """
    return typer.Option("--json", help=f"Write {what} to this file; - is standard output.")


def write_json(path: Path, content: dict[str, Any], what: str) -> None:
    """Write to the file that ``--json`` names, and say so; nothing is said of standard output.

    Text that is not valid Unicode, as file names may be, is written as escapes, which JSON allows.

    Args:
        path: The file; ``-`` is standard output.
        content: Anything that JSON can hold.
        what: What is written, for the line that says where: ``figures``.

    Raises:
        ConfigError: It cannot be written to.
    """
    write_result(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if path != STANDARD_OUTPUT:
        say(f"{what} in {path}")


@contextmanager
def result_first(path: Path | None, write: Callable[[Path], None]) -> Iterator[None]:
    """Write a result, and then, in this block, what needs more room.

    Standard output comes last: where its reader has gone, the command ends.

    Args:
        path: Where to; ``-`` is standard output, None is not asked for.
        write: Writes it; it is called only where that is asked for.
    """
    if path is not None and path != STANDARD_OUTPUT:
        write(path)
    yield
    if path == STANDARD_OUTPUT:
        write(path)


def json_first(
    path: Path | None, content: Callable[[], dict[str, Any]], what: str
) -> AbstractContextManager[None]:
    """Do as ``result_first`` for the file that ``--json`` names.

    Args:
        path: As ``write_json`` takes it; None is not asked for.
        content: Gives what ``write_json`` takes.
        what: As ``write_json`` takes it.

    Raises:
        ConfigError: It cannot be written to.
    """
    return result_first(path, lambda place: write_json(place, content(), what))


def write_result(path: Path, text: str) -> None:
    """Write what is for programs; text that is not valid Unicode is written as escapes.

    Args:
        path: The file; ``-`` is standard output.
        text: All of it.

    Raises:
        ConfigError: It cannot be written to.
    """
    if path == STANDARD_OUTPUT:
        with end_with_reader("standard output"):
            # Bytes, because a terminal's encoding may not be UTF-8.
            typer.echo(text.encode("utf-8", errors="backslashreplace"), nl=False)
    else:
        write_text(path, text)
