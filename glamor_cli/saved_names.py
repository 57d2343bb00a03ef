"""What pictures, videos and timelines of predictions are called, and how a later run knows them."""

from pathlib import Path

SAVED_PICTURE, SAVED_VIDEO, SAVED_TIMELINE = SUFFIXES = (
    "-emotions.jpg",
    "-emotions.mp4",
    "-timeline.png",
)
"""How the names of what is saved end."""

_LONGEST_STEM = 200
"""Bytes of a source's name that a saved file's keeps; file systems allow 255 in all."""


def saved_name(source: str | Path, suffix: str) -> str:
    """Name what is saved of a source: its own name without folder and ending, and a suffix.

    Args:
        source: A file's path.
        suffix: How the name is to end.
    """
    # A stem holds no folder, but it may hold line breaks, or leave no room for the suffix.
    stem = "".join(letter if letter.isprintable() else "_" for letter in Path(source).stem)
    return f"{stem.encode()[:_LONGEST_STEM].decode(errors='ignore')}{suffix}"


def is_saved(path: Path, folder: Path) -> bool:
    """Say whether a file is what a run saved in a folder, by its name and its place."""
    return path.name.endswith(SUFFIXES) and path.parent.resolve() == folder.resolve()
