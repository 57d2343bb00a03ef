"""Packages of others: how extras are installed, why one cannot be imported, what files one has."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from glamor_cli.errors import BackendUnavailable, whole_reason_of

# Without the force, pip and uv find that what is damaged is already there.
REINSTALL = (
    "Reinstall glamor and all it needs, in its checkout: uv sync --inexact --reinstall, "
    "or pip install --force-reinstall ."
)

TEMPORARY_FILES = "Set TMPDIR to a folder that may be written to and has room."
"""What to do where no folder takes temporary files."""
_NO_TEMPORARY_FILES = "No usable temporary directory"
"""What Python says there, whether none may be written to or all are full."""
_NOT_MAPPED = "failed to map segment"
"""What the system's loader says of a whole library that it may not load."""


def install_extra(name: str) -> str:
    """Say how an extra of ``pyproject.toml`` is installed, with uv and with pip.

    Both take it from a checkout: no registry has a package of ours.
    """
    # Without --inexact, uv takes away the extras that it is not told of.
    return (
        f"Install the extra in glamor's checkout: uv sync --inexact --extra {name}, "
        f"or pip install '.[{name}]'"
    )


def installed_version(package: str) -> str | None:
    """Give the version of an installed package, by its name for pip; None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_in_package(package: str, name: str) -> Path | None:
    """Find a file that an installed package carries, without importing the package.

    Args:
        package: Its name for ``import``.
        name: The file's path inside the package, with ``/``.

    Returns:
        The file; None where there is no such package or file.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / name
        if path.is_file():
            return path
    return None


@contextmanager
def importing(package: str, missing: str, remedy: str) -> Iterator[None]:
    """Import a package in this block.

    Args:
        package: What is imported.
        missing: One line for where it is not installed.
        remedy: One line saying how to install it, or to install it again.

    Raises:
        BackendUnavailable: It is not installed, or does not load.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # What is damaged, or does not fit its neighbours, raises anything.
        heed_interrupt(error)
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        if absent:
            raise BackendUnavailable(missing, remedy) from error
        what = f"{package} does not load ({whole_reason_of(error)})"
        raise BackendUnavailable(what, reinstall_or(error, remedy)) from error


def heed_interrupt(error: BaseException) -> None:
    """Raise ``KeyboardInterrupt`` anew where a library made another exception of it.

    What is compiled reports whatever ends its import as an ``ImportError``.
    """
    if was_interrupted(error):
        raise KeyboardInterrupt from error


def was_interrupted(error: BaseException) -> bool:
    """Tell whether an exception was raised because of, or while handling, a Ctrl-C."""
    return any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error))


def lacks_temporary_files(error: BaseException) -> bool:
    """Tell whether an exception was raised because no folder takes temporary files."""
    return any(_NO_TEMPORARY_FILES in str(cause) for cause in _causes(error))


def reinstall_or(error: BaseException, reinstall: str = REINSTALL) -> str:
    """Say what to do where a package does not load: mostly, but not always, it is damaged."""
    if lacks_temporary_files(error):
        return TEMPORARY_FILES
    if any(_NOT_MAPPED in str(cause) for cause in _causes(error)):
        return "Raise the limit of memory (ulimit -v), or mount Python's packages without noexec."
    return reinstall


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go from an exception to what it was raised because of, or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
