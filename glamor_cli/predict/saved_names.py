"""What pictures, videos and timelines of predictions are called, and how a later run knows them."""

from pathlib import Path

from glamor_cli.errors import GlamorError

MARK = "Made by glamor"
"""The comment that saved pictures, videos and timelines carry."""

SAVED_PICTURE, SAVED_VIDEO, SAVED_TIMELINE = SUFFIXES = (
    "-emotions.jpg",
    "-emotions.mp4",
    "-timeline.png",
)
"""How the names of what is saved end."""
SAVED_EXPLANATION = "-explained.png"
"""How the name of an explanation ends, unless it is given another."""

_LONGEST_STEM = 200
"""Bytes of a source's name that a saved file's keeps; file systems allow 255 in all."""
_MARK_WITHIN = 4096
"""Bytes from a picture's beginning within which its comment lies."""


def saved_name(source: str | Path, suffix: str) -> str:
    """Name what is saved of a source: its own name without folder and ending, and a suffix.

    Args:
        source: A file's path.
        suffix: How the name is to end.
    """
    # A stem holds no folder, but it may hold line breaks, or leave no room for the suffix.
    stem = "".join(letter if letter.isprintable() else "_" for letter in Path(source).stem)
    return f"{stem.encode()[:_LONGEST_STEM].decode(errors='ignore')}{suffix}"


def is_saved(path: Path, folder: Path | None = None) -> bool:
    """Say whether a file is what a run saved: by its name, and by its place or its mark.

    Only files that have such a name are opened. Explanations are known by their mark alone: they
    are saved beside photographs.

    Args:
        path: The file.
        folder: Where runs save: there the name suffices. None knows of no such place.
    """
    if path.name.endswith(SAVED_EXPLANATION.removeprefix("-")):
        return _has_mark(path)
    if not path.name.endswith(SUFFIXES):
        return False
    return (folder is not None and path.parent.resolve() == folder.resolve()) or _has_mark(path)


def _has_mark(path: Path) -> bool:
    try:
        if path.name.endswith(SAVED_VIDEO):
            # Late: only videos need it, and names must be had quickly.
            from glamor_cli.vision.video_reader import read_comment

            return (read_comment(path) or "").startswith(MARK)
        with path.open("rb") as file:
            return MARK.encode() in file.read(_MARK_WITHIN)
    except (GlamorError, OSError):  # the run will say so when it reads the file
        return False
