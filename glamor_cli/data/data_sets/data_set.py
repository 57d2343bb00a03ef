"""What a data set on disk is: images listed as a stream, in an order that never changes."""

import itertools
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glamor_cli.errors import DataError
from glamor_cli.vision.pairs import Box

_SPLIT_NAME = re.compile(r"\w[\w .-]{0,99}")


class Layout(StrEnum):
    """How a data set lies on disk."""

    AUTHORS = "authors"
    """``images/<split>/<Class>/<name>.<ext>``, with or without ``crop/``: NCAER-S, CAER-S."""
    SPLITS = "splits"
    """``<split>/<Class>/<name>.<ext>``: CAER-S as it is downloaded."""
    CLASSES = "classes"
    """``<Class>/<name>.<ext>``."""
    MANIFEST = "manifest"
    """A CSV file that names every image (see ``glamor_cli.data.data_sets.manifest``)."""


@dataclass(frozen=True)
class Record:
    """One image of a data set.

    Attributes:
        source: Where the image is.
        label: Its class, as ``EMOTIONS`` has it.
        split: Which part of the data set it belongs to.
        name: Its path as the data set has it, with ``/`` between folders; stores know it by this.
        box: The face's box, where a manifest gives one.
        box_file: Where the authors' layout keeps its box; it need not exist.
        targets: Soft label over the classes, sum 1, where a manifest gives one.
    """

    source: Path
    label: str
    split: str
    name: str
    box: Box | None = None
    box_file: Path | None = None
    targets: tuple[float, ...] | None = None


class DataSet(ABC):
    """A data set on disk.

    Attributes:
        root: Its folder.
        layout: How it lies there.
        splits: The names of its splits, sorted.
        has_targets: Whether soft labels come with it.
        searched: The folder in which every folder is taken for a split or a class, if any.
    """

    root: Path
    layout: Layout
    splits: tuple[str, ...]
    has_targets: bool
    searched: Path | None = None

    def searches(self, path: Path) -> bool:
        """Whether a folder made at ``path`` would be taken for a part of the data set."""
        if self.searched is None:
            return False
        # Not resolve(), which stumbles over a link that leads to itself.
        path, top = Path(os.path.realpath(path)), Path(os.path.realpath(self.searched))
        return path.is_relative_to(top) and not any(
            is_hidden(part) for part in path.relative_to(top).parts
        )

    @abstractmethod
    def records(self, split: str, *, start: int = 0) -> Iterator[Record]:
        """Stream the images of a split, always in the same order, without the first ``start``.

        Raises:
            DataError: The data set changed on disk while it was read.
        """

    @abstractmethod
    def find_boxed_splits(self) -> tuple[str, ...]:
        """Find the splits that boxes come with: box files, or a manifest's cells.

        Raises:
            DataError: The data set changed on disk while it was read.
        """

    def count_unread(self) -> Counter[str]:
        """Count the pictures of kinds that are not read, by the ending of their names.

        Raises:
            DataError: The data set changed on disk while it was read.
        """
        return Counter()

    def all_records(self) -> Iterator[Record]:
        """Stream the images of all splits; those of each are in its order.

        Raises:
            DataError: The data set changed on disk while it was read.
        """
        return itertools.chain.from_iterable(map(self.records, self.splits))


def is_hidden(name: str) -> bool:
    """Tell whether a folder of this name is passed over, such as ``.cache`` and ``__MACOSX``."""
    return name.startswith((".", "__"))


def is_split_name(name: str) -> bool:
    """Tell whether a split's name can name a folder of a store; ``../elsewhere`` cannot."""
    return bool(_SPLIT_NAME.fullmatch(name)) and not name.endswith((" ", "."))


def check_split_name(name: str) -> None:
    """Make sure that a split's name can name a folder of a store.

    Raises:
        DataError: It cannot.
    """
    if not is_split_name(name):
        raise DataError(
            f"{name!r} is not a valid name for a split",
            "Use letters, digits, spaces, dots, '-' and '_', as in train or test.",
        )
