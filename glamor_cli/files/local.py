"""Addresses and pipes in the place of a path, which are refused: nothing is downloaded."""

import re
from pathlib import Path

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.kinds import exists

# A single letter before the colon is a drive of Windows.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# Of which a Path has left one slash, on Windows the other one.
_SHORTENED = re.compile(r"^(https?|s?ftp|file|s3|gs|rtsp):[/\\](?![/\\])", re.IGNORECASE)


def require_local(
    source: str | Path, error: type[DataError] | type[ConfigError] = DataError
) -> None:
    """Refuse an address or ``-``, unless a file has that name.

    Args:
        source: What was given as the path of a file or a folder.
        error: What is raised.

    Raises:
        DataError: It is an address, or ``-`` for standard input (or ``error``).
        OSError: The system does not say whether there is such a file.
    """
    name = str(source)
    if _SHORTENED.match(name):
        name = _SHORTENED.sub(r"\1://", Path(source).as_posix())
    if name == "-":
        what = "standard input is not read"
    elif _ADDRESS.match(name):
        what = f"{name} is an address, and addresses are not opened"
    else:
        return
    if not exists(Path(source)):
        raise error(what, "Save it to a file first, and give that; glamor watch opens cameras.")
