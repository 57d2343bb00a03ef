"""Opening data sets as they lie on disk: a manifest, or folders of images."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from glamor_cli.data.data_sets.class_names import find_class, known_classes
from glamor_cli.data.data_sets.crop_files import BOX_SUFFIX, box_file_name
from glamor_cli.data.data_sets.data_set import (
    DataSet,
    Layout,
    Record,
    check_split_name,
    is_hidden,
)
from glamor_cli.data.data_sets.manifest import ManifestDataSet
from glamor_cli.data.split_names import WHOLE_SPLIT
from glamor_cli.errors import ConfigError, DataError, reason_of
from glamor_cli.files.kinds import exists, is_file, is_folder
from glamor_cli.files.listing import list_names
from glamor_cli.files.local import require_local
from glamor_cli.vision.image_files import IMAGE_SUFFIXES, UNREAD_SUFFIXES

_REMEDY = (
    "Give a folder <split>/<Class>/<image>, images/<split>/<Class>/<image> with "
    "crop/<split>/<Class>/<name>.txt, <Class>/<image>, or a manifest .csv."
)
_CROP = "crop"
"""The folder of box files, which is neither split nor class."""


def open_data_set(source: str | Path, *, split: str | None = None) -> DataSet:
    """Find out how a data set lies on disk, and open it.

    Args:
        source: A folder, or a manifest's ``.csv`` (a folder with a ``manifest.csv`` counts as it).
        split: Of a data set with splits, the only one to take; of one without, what to call it.

    Raises:
        ConfigError: It has no such split.
        DataError: There is no such data set, it cannot be read, a class is unknown, or a manifest's
            row is wrong.
    """
    if split is not None:
        check_split_name(split)
    require_local(source)
    try:
        return _open(Path(source), split)
    except OSError as error:
        raise DataError(
            f"cannot read {source}: {reason_of(error)}", "Check the path and its permissions."
        ) from error


def _open(source: Path, split: str | None) -> DataSet:
    if not exists(source):
        raise DataError(f"there is no data set at {source}", "Check the path.")
    manifest = source / "manifest.csv" if is_folder(source) else source
    if is_file(manifest):
        if manifest.suffix.lower() != ".csv":
            raise DataError(f"{source} is neither a folder nor a manifest .csv", _REMEDY)
        return ManifestDataSet.open(manifest, split=split)
    return _open_folders(source, split)


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
        self._folders = splits
        self._crops = crops
        self.searched = searched

    def records(self, split: str, *, start: int = 0) -> Iterator[Record]:
        return itertools.islice(self._records(split), start, None)

    def _records(self, split: str) -> Iterator[Record]:
        folder = self._folders[split]
        crop_folder = self._crops.get(split)
        for class_folder in _folders_but_crop(folder):
            label = _class_of(class_folder)
            prefix = class_folder.relative_to(self.root).as_posix()
            crops = crop_folder and crop_folder / class_folder.name
            for name in _file_names(class_folder, IMAGE_SUFFIXES):
                yield Record(
                    class_folder / name,
                    label,
                    split,
                    f"{prefix}/{name}",
                    box_file=crops and crops / box_file_name(name),
                )

    def find_boxed_splits(self) -> tuple[str, ...]:
        return tuple(name for name, folder in self._crops.items() if _holds_box_files(folder))

    def count_unread(self) -> Counter[str]:
        return Counter(
            Path(name).suffix.lower()
            for folder in self._folders.values()
            for class_folder in _folders_but_crop(folder)
            for name in _file_names(class_folder, UNREAD_SUFFIXES)
        )


def _open_folders(root: Path, split: str | None) -> DataSet:
    """Tell class folders from splits of class folders."""
    images, crop = root / "images", root / _CROP
    base = images if is_folder(images) else root
    folders = _folders_but_crop(base)
    if any(find_class(folder.name) for folder in folders):
        for folder in folders:
            _class_of(folder)
        name = split or WHOLE_SPLIT
        layout = Layout.AUTHORS if base is images else Layout.CLASSES
        # Crop files that were exported have a folder for the split.
        boxes = next((place for place in (crop / name, crop) if is_folder(place)), None)
        return _FolderDataSet(root, layout, {name: base}, {name: boxes} if boxes else {}, base)
    splits = {folder.name: folder for folder in folders}
    if split is not None:
        if split not in splits:
            raise ConfigError(
                f"{root} has no split {split!r}",
                f"Choose one that it has: {', '.join(splits)}." if splits else _REMEDY,
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
        if not any(find_class(inner.name) for inner in class_folders):
            # An archive unpacked into a folder of its own has one folder more.
            raise DataError(
                f"neither {folder} nor {class_folders[0]} is named after a class",
                f"If the data set begins in {folder}, give that folder; else rename the folders: "
                f"the classes are {known_classes()}.",
            )
        for class_folder in class_folders:
            _class_of(class_folder)
    return _FolderDataSet(
        root,
        Layout.AUTHORS if base is images else Layout.SPLITS,
        splits,
        {name: crop / name for name in splits} if is_folder(crop) else {},
        base if split is None else splits[split],
    )


def _holds_box_files(crop: Path) -> bool:
    """Tell whether there is a box file: a folder of this name may hold pictures, or nothing."""
    if not is_folder(crop):
        return False
    for folder in _folders(crop):
        try:
            if any(name.endswith(BOX_SUFFIX) for name, _ in list_names(folder)):
                return True
        except OSError as error:
            raise _vanished(folder, error) from error
    return False


def _class_of(folder: Path) -> str:
    """Take a folder's name as a class's."""
    label = find_class(folder.name)
    if label is None:
        raise DataError(
            f"{folder} is not named after a class",
            f"Rename it, or move it away; the classes are {known_classes()}.",
        )
    return label


def _folders_but_crop(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones and without that of box files."""
    return [found for found in _folders(folder) if found.name != _CROP]


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, sorted, without hidden ones."""
    try:
        return [
            folder / name
            for name, is_folder in list_names(folder)
            if is_folder and not is_hidden(name)
        ]
    except OSError as error:
        raise _vanished(folder, error) from error


def _file_names(folder: Path, suffixes: frozenset[str]) -> Iterator[str]:
    """Stream the names of a class folder's files of a kind, sorted, without hidden files."""
    try:
        for name, is_folder in list_names(folder):
            if name.startswith("."):
                continue
            if is_folder:
                raise DataError(
                    f"{folder / name} is a folder inside a class folder, which may hold only "
                    "images",
                    "Move its images up, or list the images in a manifest .csv.",
                )
            if Path(name).suffix.lower() in suffixes:
                yield name
    except OSError as error:
        raise _vanished(folder, error) from error


def _vanished(folder: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot list {folder}: {reason_of(error)}",
        "Check that the data set is still there and that you may read it.",
    )
