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


def is_saved(path: Path) -> bool:
    """Say whether a file is what a run saved, by its name and its mark.

    Only files of such a name are opened, and all PNG files, as explanations may have any name.
    The name alone does not suffice: a photograph may have it.
    """
    named = path.name.endswith(SUFFIXES) or path.suffix.lower() == ".png"
    return named and has_mark(path)


def has_mark(path: Path) -> bool:
    """Say whether a file carries the mark, whatever it is called; False where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would wait for whoever writes into it
            return False
        if path.name.endswith(SAVED_VIDEO):
            # Late: only videos need it, and names must be had quickly.
            from glamor_cli.vision.video_reader import read_comment

            return (read_comment(path) or "").startswith(MARK)
        with path.open("rb") as file:
            return MARK.encode() in file.read(_MARK_WITHIN)
    except (GlamorError, OSError):  # the run will say so when it reads the file
        return False
