"""Data sets as they lie on disk, listed as a stream in an order that never changes."""

import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glamor_cli.data.class_names import find_class, known_classes
from glamor_cli.data.crop_files import box_file_name
from glamor_cli.errors import DataError
from glamor_cli.listing import list_names
from glamor_cli.vision.image_files import IMAGE_SUFFIXES
from glamor_cli.vision.pairs import Box

WHOLE_SPLIT = "all"
"""The split of a data set that has none."""

_REMEDY = (
    "Give a folder <split>/<Class>/<image>, images/<split>/<Class>/<image> with "
    "crop/<split>/<Class>/<name>.txt, <Class>/<image>, or a manifest .csv."
)
_CROP = "crop"
"""The folder of box files, which is neither split nor class."""
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
    """A CSV file that names every image (see ``glamor_cli.data.manifest``)."""


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
        has_boxes: Whether boxes come with it (box files or a manifest's columns).
        has_targets: Whether soft labels come with it.
        searched: The folder in which every folder is taken for a split or a class, if any.
    """

    root: Path
    layout: Layout
    splits: tuple[str, ...]
    has_boxes: bool
    has_targets: bool
    searched: Path | None = None

    def searches(self, path: Path) -> bool:
        """Whether a folder made at ``path`` would be taken for a part of the data set."""
        if self.searched is None:
            return False
        # Not resolve(), which stumbles over a link that leads to itself.
        path, top = Path(os.path.realpath(path)), Path(os.path.realpath(self.searched))
        return path.is_relative_to(top) and not any(
            part.startswith((".", "__")) for part in path.relative_to(top).parts
        )

    @abstractmethod
    def records(self, split: str, *, start: int = 0) -> Iterator[Record]:
        """Stream the images of a split, always in the same order, without the first ``start``.

        Raises:
            DataError: The data set changed on disk while it was read.
        """

    def all_records(self) -> Iterator[Record]:
        """Stream the images of all splits; those of each are in its order.

        Raises:
            DataError: The data set changed on disk while it was read.
        """
        return itertools.chain.from_iterable(map(self.records, self.splits))


def open_data_set(source: Path, *, split: str | None = None) -> DataSet:
    """Find out how a data set lies on disk, and open it.

    Args:
        source: A folder, or a manifest's ``.csv`` (a folder with a ``manifest.csv`` counts as it).
        split: Of a data set with splits, the only one to take; of one without, what to call it.

    Raises:
        DataError: There is no such data set, a class is unknown, or a manifest's row is wrong.
    """
    # Imported here because a manifest is one of the data sets that this module defines.
    from glamor_cli.data.manifest import ManifestDataSet

    if split is not None:
        check_split_name(split)
    if not source.exists():
        raise DataError(f"there is no data set at {source}", "Check the path.")
    manifest = source / "manifest.csv" if source.is_dir() else source
    if manifest.is_file():
        if manifest.suffix.lower() != ".csv":
            raise DataError(f"{source} is neither a folder nor a manifest .csv", _REMEDY)
        return ManifestDataSet.open(manifest, split=split)
    return _open_folders(source, split)


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
            f"{name!r} cannot name a split",
            "Use letters, digits, spaces, dots, '-' and '_', as in train or test.",
        )


class _FolderDataSet(DataSet):
    """Images in class folders."""

    has_targets = False

    def __init__(
        self,
        root: Path,
        layout: Layout,
        splits: dict[str, Path],
        crops: dict[str, Path],
        searched: Path,
    ) -> None:
        self.root = root
        self.layout = layout
        self.splits = tuple(splits)
        self.has_boxes = bool(crops)
        self._folders = splits
        self._crops = crops
        self.searched = searched

    def records(self, split: str, *, start: int = 0) -> Iterator[Record]:
        return itertools.islice(self._records(split), start, None)

    def _records(self, split: str) -> Iterator[Record]:
        folder = self._folders[split]
        crop_folder = self._crops.get(split)
        for class_folder in _folders_but(folder, _CROP):
            label = _class_of(class_folder)
            prefix = class_folder.relative_to(self.root).as_posix()
            crops = crop_folder and crop_folder / class_folder.name
            for name in _image_names(class_folder):
                yield Record(
                    class_folder / name,
                    label,
                    split,
                    f"{prefix}/{name}",
                    box_file=crops and crops / box_file_name(name),
                )


def _open_folders(root: Path, split: str | None) -> DataSet:
    """Tell class folders from splits of class folders."""
    images, crop = root / "images", root / _CROP
    base = images if images.is_dir() else root
    folders = _folders_but(base, _CROP)
    if any(find_class(folder.name) for folder in folders):
        for folder in folders:
            _class_of(folder)
        name = split or WHOLE_SPLIT
        layout = Layout.AUTHORS if base is images else Layout.CLASSES
        # Crop files that were exported have a folder for the split.
        boxes = next((place for place in (crop / name, crop) if place.is_dir()), None)
        return _FolderDataSet(root, layout, {name: base}, {name: boxes} if boxes else {}, base)
    splits = {folder.name: folder for folder in folders}
    if split is not None:
        if split not in splits:
            raise DataError(
                f"{root} has no split {split!r}", f"It has: {', '.join(splits) or 'none'}."
            )
        splits = {split: splits[split]}
    if not splits:
        raise DataError(f"{root} holds no class folders", _REMEDY)
    for name, folder in splits.items():
        check_split_name(name)
        class_folders = _folders(folder)
        if not class_folders:
            raise DataError(
                f"{folder} is not named after a class, and holds no class folders either", _REMEDY
            )
        for class_folder in class_folders:
            _class_of(class_folder)
    return _FolderDataSet(
        root,
        Layout.AUTHORS if base is images else Layout.SPLITS,
        splits,
        {name: crop / name for name in splits} if crop.is_dir() else {},
        base if split is None else splits[split],
    )


def _class_of(folder: Path) -> str:
    """Take a folder's name as a class's."""
    label = find_class(folder.name)
    if label is None:
        raise DataError(
            f"{folder} is named after none of the classes",
            f"Rename or move it away; the classes are {known_classes()}.",
        )
    return label


def _folders_but(folder: Path, name: str) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones and without the one of a name."""
    return [found for found in _folders(folder) if found.name != name]


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones."""
    try:
        return [
            folder / name
            for name, is_folder in list_names(folder)
            if is_folder and not name.startswith((".", "__"))
        ]
    except OSError as error:
        raise _vanished(folder, error) from error


def _image_names(folder: Path) -> Iterator[str]:
    """Stream the names of a class folder's images, sorted, without hidden files."""
    try:
        for name, is_folder in list_names(folder):
            if name.startswith("."):
                continue
            if is_folder:
                raise DataError(
                    f"{folder / name} is a folder inside of a class folder, where only images "
                    "belong",
                    "Move its images up, or list the images in a manifest .csv.",
                )
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield name
    except OSError as error:
        raise _vanished(folder, error) from error


def _vanished(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot list {folder}: {error.strerror or error}",
        "Check that the data set is still there and that you may read it.",
    )
