"""Writing files of which a data set has tens of thousands: whole or not at all, and fast."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unsynced_path(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``; on success it takes the place of ``path``.

    Unlike ``atomic_path``, it does not wait until the file is on the disk, which takes longer than
    all else: a file that a power cut spoils is one that can be made again. The name is made up, so
    that no other process writes to it and no link of that name is there.

    Args:
        path: Where the finished file belongs; a link there is replaced. Its folder is made if it is
            missing, and stays.

    Raises:
        OSError: It cannot be written. No file is left behind, and an older ``path`` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
