"""Paths given as text."""

from pathlib import Path


def take_paths(settings: object, *names: str) -> None:
    """Make paths of a frozen dataclass's fields, which may have been given as text; None stays."""
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            object.__setattr__(settings, name, Path(value))
