"""Paths as words of commands that are shown to be copied."""

import shlex
from pathlib import Path


def show_command(*words: str | Path) -> str:
    """Give a command as a shell takes it: quoted, and no path looking like an option.

    Args:
        words: Of the command; the paths among them may begin with a dash, because pathlib drops
            the ``./`` that they were given with.
    """
    return shlex.join(
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
        for word in words
    )
