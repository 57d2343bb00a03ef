"""Boxes that a data set has and nobody asked for: said, or refused where faces would mix up."""

from array import array
from pathlib import Path

import numpy as np

from glamor_cli.data.data_sets.data_set import DataSet, Layout
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import BoxSource
from glamor_cli.data.store.shared_images import digest_name
from glamor_cli.errors import ConfigError


def unused_box_notes(source: Path, split: str | None = None) -> list[str]:
    """Say that a data set's own boxes will not be used, where faces are detected by default.

    Where an image has several, all its people would get the one face that is detected, under labels
    that contradict each other. Such a store is worth nothing, so better refused before hours are
    spent on it.

    Args:
        source: The data set.
        split: As ``open_data_set`` takes it.

    Raises:
        ConfigError: A manifest gives different boxes to one image.
        DataError: The data set cannot be read.
    """
    data_set = open_data_set(source, split=split)
    if not data_set.has_boxes:
        return []
    boxes = BoxSource.CROP_FILES
    if data_set.layout is Layout.MANIFEST:
        boxes = BoxSource.MANIFEST
        if all(record.box is None for record in data_set.all_records()):
            return []
        image = _find_image_of_several(data_set)
        if image is not None:
            raise ConfigError(
                f"{source} gives {image} several boxes, but a detector finds one face",
                f"Use its boxes with --boxes {boxes}; --boxes {BoxSource.DETECT} takes one face "
                "all the same.",
            )
    return [f"{source} has boxes of its own, which are not used: --boxes {boxes} uses them"]


def _find_image_of_several(data_set: DataSet) -> str | None:
    """Name an image with different boxes; it takes 80 bytes of memory for each record."""
    images, faces = array("Q"), array("Q")
    for record in data_set.all_records():
        if record.box is not None:
            images.append(digest_name(record.name))
            faces.append(digest_name(f"{record.name}\0{record.box}"))
    _, different = np.unique(np.array(faces, np.uint64), return_index=True)
    found, counts = np.unique(np.array(images, np.uint64)[different], return_counts=True)
    several = set(found[counts > 1].tolist())
    if not several:
        return None
    names = (record.name for record in data_set.all_records())
    return next((name for name in names if digest_name(name) in several), None)
