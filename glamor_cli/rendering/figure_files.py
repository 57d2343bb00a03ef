"""Saving a figure as a picture file."""

import warnings
from pathlib import Path
from typing import Any

from glamor_cli.atomic import atomic_path


def save_figure(path: Path, figure: Any, dpi: int | None = None) -> None:
    """Save a ``matplotlib.figure.Figure`` atomically.

    Args:
        path: The picture; its ending chooses the format.
        figure: What to save.
        dpi: Dots per inch; None is the figure's own.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # Names in scripts that the font lacks become boxes; that is not worth a line for each.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(temporary, dpi=dpi or "figure")
