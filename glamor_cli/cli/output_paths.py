"""Whether results can be written, found out before the work and not after it."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from glamor_cli.cli.json_output import STANDARD_OUTPUT
from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.files.atomic import cannot_write

_SYSTEM = (Path("/dev"), Path("/proc"))
"""Devices and open files, as ``/dev/stdout`` is one: they are written as they are."""
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is put there unasked
"""Among them and yet a folder of anybody's files, as of data sets that are to be read fast."""
_TABLES = ("manifest.csv", "cues.csv")
"""What a data set's folder may hold beside images and boxes."""


def require_writable(
    *files: Path | None,
    folder: Path | None = None,
    sources: Iterable[str | Path] = (),
    data_sets: Iterable[Path | None] = (),
) -> None:
    """Check where results go; nothing is made or changed.

    Args:
        files: Files to be written; ``-`` is standard output, None is not asked for.
        folder: A folder to write into; None is not asked for.
        sources: Files that are read: none may be written over. Folders stand for themselves alone.
        data_sets: Folders of images, or manifests, that are read; no image, box file or table of
            them may be written over.

    Raises:
        ConfigError: Two have one name, or go to standard output; a file is a folder or the other
            way round, or an input; or its folder cannot be made or written to.
    """
    if files.count(STANDARD_OUTPUT) > 1:
        raise ConfigError(
            "two results go to standard output", "Give one of them the name of a file."
        )
    sources = list(sources)
    images = [data_set for data_set in data_sets if data_set is not None]
    _require_distinct([*files, folder])
    if folder is not None:
        _require(folder, is_file=False)
    for path in files:
        if path is not None and path != STANDARD_OUTPUT:
            _require(path, is_file=True)
            if _is_written_as_it_is(path):
                continue
            if any(_is_same_file(path, source) for source in sources):
                # What is not there yet, such as a store's folder, is about to be made.
                use = "is also an input" if path.exists() else "has another use in this command"
                raise ConfigError(f"{path} {use}", "Give the result another name.")
            if any(_is_of(path, data_set) for data_set in images):
                raise ConfigError(
                    f"{path} may be a file of the data set, which is read",
                    "Give the result another name.",
                )


def _require_distinct(results: Iterable[Path | None]) -> None:
    """Refuse to write one result over another."""
    taken: set[str] = set()
    for path in results:
        if path is None or path == STANDARD_OUTPUT or _is_written_as_it_is(path):
            continue
        # What a link leads to is what is replaced; unlike pathlib's, this takes a link to itself.
        whole = os.path.realpath(path)
        if whole in taken:
            raise ConfigError(
                f"two results have the same name, {path}", "Give each of them a name of its own."
            )
        taken.add(whole)


def _is_of_the_system(path: Path) -> bool:
    whole = path.absolute()
    if whole.is_relative_to(_SHARED_MEMORY):
        return False
    return any(whole.is_relative_to(system) for system in _SYSTEM)


def _is_written_as_it_is(path: Path) -> bool:
    """Tell whether nothing is replaced: devices, and pipes wherever they lie."""
    try:
        kind = path.stat().st_mode
    except OSError:  # missing, or for others to report
        return _is_of_the_system(path)
    return _is_of_the_system(path) or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _is_same_file(path: Path, source: str | Path) -> bool:
    try:
        # What is about to be made has a name only.
        return path.samefile(source) if path.is_file() else path.resolve() == Path(source).resolve()
    except (OSError, RuntimeError, ValueError):  # no such source, which the work will report
        return False


def _is_of(path: Path, data_set: Path) -> bool:
    """Tell whether a file is a data set's, by its place and its name; reports are others."""
    from glamor_cli.vision.image_files import IMAGE_SUFFIXES

    try:
        whole, folder = path.resolve(), data_set if data_set.is_dir() else data_set.parent
        if not whole.is_file() or not whole.is_relative_to(folder.resolve()):
            return False
        if whole.suffix.lower() == ".txt":
            return "crop" in whole.relative_to(folder.resolve()).parts
        return whole.suffix.lower() in IMAGE_SUFFIXES or whole.name in _TABLES
    except (OSError, RuntimeError, ValueError):
        return False


def _require(path: Path, *, is_file: bool) -> None:
    if _is_of_the_system(path):
        return
    try:
        # Pathlib takes a link that leads to itself for a missing file; this does not.
        with suppress(FileNotFoundError):
            path.stat()
        if is_file and path.is_dir():
            raise ConfigError(f"{path} is a folder", "Give the name of a file.")
        if not is_file and path.is_file():
            raise ConfigError(f"{path} is a file", "Give the name of a folder.")
        if is_file and path.exists() and not path.is_file():
            return  # a pipe is written as it is
        lost = _lost_link(path.parent if is_file else path)
        if lost is not None:
            raise cannot_write(path, f"the link {lost} leads to nothing")
        # What a link leads to is what is replaced.
        whole = path.resolve()
        above = whole.parents if is_file else (whole, *whole.parents)
        there = next((entry for entry in above if entry.exists()), None)
        if there is None or not there.is_dir():  # the first is a drive of Windows that is not there
            raise cannot_write(path, f"{there or whole.anchor} is not a folder")
        effective = os.access in os.supports_effective_ids
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=effective):
            raise cannot_write(path, f"{there} may not be written to")
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error


def _lost_link(folder: Path) -> Path | None:
    """Find the link to nothing that keeps a folder from being made; None where none does."""
    there = next((entry for entry in (folder, *folder.parents) if os.path.lexists(entry)), None)
    return None if there is None or there.exists() else there
