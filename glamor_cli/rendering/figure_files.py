"""Saving a figure as a picture file."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from glamor_cli.errors import ConfigError
from glamor_cli.files.atomic import atomic_path
from glamor_cli.rendering.own_style import own_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PICTURES = (".png", ".svg", ".pdf")


def check_picture(path: Path, option: str) -> None:
    """Refuse a picture's name whose ending is not a known format, before work is done for it.

    Args:
        path: The picture.
        option: Which option names it, for what to do.

    Raises:
        ConfigError: The ending is not a picture's.
    """
    if path.suffix.lower() not in _PICTURES:
        raise _unknown_kind(path, option)


def save_figure(
    path: Path, figure: "Figure", dpi: int | None = None, *, comment: str | None = None
) -> None:
    """Save a figure atomically.

    Args:
        path: The picture; its ending chooses the format.
        figure: What to save.
        dpi: Dots per inch; None is the figure's own.
        comment: Written into a PNG; the other formats have no place for it.

    Raises:
        ConfigError: The folder cannot be written to, or the ending is not a picture's.
    """
    if path.suffix.lower().removeprefix(".") not in figure.canvas.get_supported_filetypes():
        raise _unknown_kind(path, "the picture")
    with atomic_path(path) as temporary, own_style(), warnings.catch_warnings():
        # Names in scripts that the font lacks become boxes; that is not worth a line for each.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        is_png = path.suffix.lower() == ".png"
        metadata = {"Comment": comment} if is_png and comment is not None else None
        figure.savefig(temporary, dpi=dpi or "figure", metadata=metadata)


def _unknown_kind(path: Path, whom: str) -> ConfigError:
    return ConfigError(
        f"cannot draw a picture of the kind {path.suffix or path.name!r}",
        f"Give {whom} a name that ends in {', '.join(_PICTURES)}.",
    )
