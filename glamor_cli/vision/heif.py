"""HEIF pictures, as phones take them (``.heic``), through the extra ``heif``."""

from functools import cache
from importlib.util import find_spec
from typing import IO

from glamor_cli.errors import BackendUnavailable, DataError
from glamor_cli.system.extras import importing, install_extra

HEIF_PACKAGE = "pillow-heif"
HEIF_FORMAT = "HEIF"
"""What Pillow calls them."""
HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""What their names end in, in lower case."""

_HEAD_BYTES = 256
_HEVC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
"""Of ISO/IEC 23008-12, annex B; AVIF has the same container and others."""


def reads_heif() -> bool:
    """Whether the extra is installed."""
    return find_spec("pillow_heif") is not None


def say_how() -> str:
    """Tell people, where the extra is not installed, that such pictures can be read, and how."""
    return f"HEIF pictures can be read. {install_extra('heif')}"


def is_heif(file: IO[bytes]) -> bool:
    """Whether a file begins like such a picture; it is then at its beginning again."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4], "big"), len(head))
    # The major brand, its version, and the compatible brands.
    brands = {head[8:12], *(head[place : place + 4] for place in range(16, end, 4))}
    return not _HEVC_BRANDS.isdisjoint(brands)


def require_heif(name: str) -> None:
    """Let Pillow read such pictures, in the whole process from now on.

    Args:
        name: Of the picture, for the message.

    Raises:
        DataError: The extra is not installed, or does not load.
    """
    try:
        _register()
    except BackendUnavailable as error:
        raise DataError(f"{name} is a HEIF picture: {error.what}", error.remedy) from error


@cache
def _register() -> None:
    with importing("pillow_heif", f"{HEIF_PACKAGE} is not installed", install_extra("heif")):
        import pillow_heif
    pillow_heif.register_heif_opener()
