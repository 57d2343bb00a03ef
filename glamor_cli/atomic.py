"""Writing files so that a reader sees the old one or the new one, never half of either."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glamor_cli.errors import ConfigError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``; on success it takes the place of ``path``.

    The temporary file keeps the suffix of ``path``, because writers choose a format by it. If the
    block raises, nothing is left behind and an older ``path`` is untouched.

    Args:
        path: Where the finished file belongs. Its folder is made if it is missing.

    Raises:
        ConfigError: The folder cannot be made or written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=f".partial{path.suffix}"
        )
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror or error}",
            "Choose a folder that you may write to and that has room.",
        ) from error
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the finished one what open() would have given it.
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` atomically.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _umask() -> int:
    """Read the process's umask (there is no call that reads without setting)."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
