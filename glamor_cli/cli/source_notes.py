"""What people are told of files that a search passed over, or that were taken all the same."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from glamor_cli.cli.render import say
from glamor_cli.counts import count
from glamor_cli.vision.heif import HEIF_SUFFIXES, say_how


class SourceNotes:
    """Counts files while sources are looked for, and says so in a line for each reason.

    Attributes:
        passed_over: How many files that earlier runs saved were passed over, by folder.
        taken: How many were taken because they are named.
        left_out: How many pictures were left out because their kind is not read, by its ending.
    """

    def __init__(self) -> None:
        self.passed_over: Counter[Path] = Counter()
        self.taken = 0
        self.left_out: Counter[str] = Counter()

    def pass_over(self, path: Path) -> None:
        """Count a file that an earlier run saved, found in a folder or by a pattern."""
        self.passed_over[path.parent] += 1

    def take(self, _: Path) -> None:
        """Count a file that an earlier run saved, and that is named."""
        self.taken += 1

    def leave_out(self, path: Path) -> None:
        """Count a picture of a kind that is not read."""
        self.left_out[path.suffix.lower()] += 1

    def print(self) -> None:
        """Say what there is to say."""
        if self.passed_over:
            folders = [*self.passed_over]
            where = str(folders[0]) if len(folders) == 1 else f"{len(folders)} folders"
            files = count(self.passed_over.total(), "picture")
            say(f"skipped {files} that glamor saved in {where}")
        if self.taken:
            are = "is a picture" if self.taken == 1 else "are pictures"
            say(
                f"{self.taken} of the files named {are} that glamor saved; "
                "a pattern in quotes skips them"
            )
        say_left_out(self.left_out)


def say_left_out(kinds: Mapping[str, int]) -> None:
    """Say how many pictures were left out because their kind is not read, if any.

    Args:
        kinds: How many, by the ending of their names.
    """
    if kinds:
        files, named = count(sum(kinds.values()), "file"), ", ".join(sorted(kinds))
        say(f"skipped {files} of unsupported kinds: {named}")
        if not HEIF_SUFFIXES.isdisjoint(kinds):
            say(say_how())
