"""The boxes of a store, written as the authors' box files."""

from pathlib import Path, PurePosixPath

from glamor_cli.data.data_sets.class_names import find_class
from glamor_cli.data.data_sets.crop_files import box_file_name, has_box, write_box
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import DataError
from glamor_cli.vision.pairs import Box


def export_crops(store: PairStore, out: Path) -> int:
    """Write the boxes of a store as the authors' ``crop/<split>/<Class>/<name>.txt``.

    Images without a face get the authors' mark, 0,0,0,0, also where the store left them out. All
    boxes are checked before the first is written: a part of them would pass for the data set's.

    Args:
        store: The pair store.
        out: The folder that gets (or has) ``crop``: beside ``images`` it makes their layout. Class
            folders are named as those of the images are.

    Returns:
        How many box files there are; images may share one.

    Raises:
        DataError: Two images share a box file but not a box, a box file is there already and holds
            another, or a name cannot be a box file's.
        ConfigError: The folder cannot be written to.
    """
    boxes: dict[str, Box] = {}
    for name in store.splits:
        for entry in store.entries(name):
            if entry.box is None:  # it failed; those without a face have a box of zeros
                continue
            # Only the last part of the name is used, so no name can lead out of the folder; a
            # store whose splits or classes could is not opened. To Windows the part after the last
            # slash may be another path still.
            file_name = box_file_name(Path(PurePosixPath(entry.source).name).name)
            if file_name == ".txt" or "\0" in file_name:
                raise DataError(
                    f"the image {entry.source!r} has nothing before its first dot to name a box "
                    "file by",
                    "Rename the image and preprocess again.",
                )
            if entry.label not in store.info.classes:
                raise DataError(
                    f"{store.path}: {name} has the unknown class {entry.label!r}",
                    "Preprocess the data set into a new folder.",
                )
            # Boxes are looked for by the folder's own name, which may be another for the class.
            folder = PurePosixPath(entry.source).parent.name
            folder = folder if find_class(folder) == entry.label else entry.label
            place = f"{name}/{folder}/{file_name}"
            if boxes.setdefault(place, entry.box) != entry.box:
                raise DataError(
                    f"{entry.source!r} shares the box file {place} with another image, "
                    "but has another box",
                    "Rename one: images of one folder must differ before the first dot of their "
                    "names.",
                )
    crop = out / "crop"
    for place, box in boxes.items():
        has_box(crop / place, box)
    for place, box in boxes.items():
        write_box(crop / place, box)
    return len(boxes)
