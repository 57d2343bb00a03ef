"""From images to stored pairs, the part of preprocessing that worker processes run."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.crop_files import read_box
from glamor_cli.data.index import IndexRow, Status
from glamor_cli.data.layouts import Record
from glamor_cli.data.pair_options import BoxSource, PairMaking
from glamor_cli.errors import DataError
from glamor_cli.vision.detector_kind import DetectorKind
from glamor_cli.vision.faces import Detector, Faces, open_detector
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import (
    NO_FACE,
    Box,
    round_box,
    sample_context,
    sample_face,
    to_uint8,
)

# Images that wait to be detected together may take this many pixels in all (24 MB).
_BATCH_PIXELS = 8_000_000


@dataclass(frozen=True)
class MadePair:
    """What became of one image.

    Attributes:
        entry: Its line in the index, the row's number still missing.
        pixels: Its face, uint8 [96, 96, 3], its context, uint8 [128, 171, 3], and its soft label,
            float32 [classes], if it has one; empty if the image is not to be stored.
    """

    entry: IndexRow
    pixels: tuple[NDArray[Any], ...] = ()


@lru_cache(maxsize=1)
def detector_of_process(kind: DetectorKind) -> Detector:
    """Open the detector once per process, with one thread: parallelism is the processes'."""
    return open_detector(kind, threads=1)


def make_pairs(records: tuple[Record, ...], making: PairMaking) -> list[MadePair]:
    """Make the pairs of some images, in their order. It runs in any process of any machine.

    An image that cannot be used gives an entry with status ``error`` and the reason.

    Args:
        records: The images.
        making: How.

    Raises:
        BackendUnavailable: The detector or the JPEG step is not installed here.
    """
    made: list[MadePair] = []
    for waiting in _batches(records):
        boxes = _find_boxes(waiting, making)
        made.extend(
            _make_pair(record, image, found, making)
            for (record, image), found in zip(waiting, boxes, strict=True)
        )
    return made


_Read = tuple[Record, NDArray[np.uint8] | DataError]
_Found = tuple[Box, float | None] | DataError


def _batches(records: tuple[Record, ...]) -> Iterator[list[_Read]]:
    """Read images, and pass them on in batches of bounded size."""
    batch: list[_Read] = []
    pixels = 0
    for record in records:
        try:
            image = read_image(record.source)
        except DataError as error:
            batch.append((record, error))
            continue
        batch.append((record, image))
        pixels += image.shape[0] * image.shape[1]
        if pixels > _BATCH_PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _find_boxes(batch: list[_Read], making: PairMaking) -> list[_Found]:
    """Find the box of every image, and the detector's score where it was asked."""
    if making.boxes is not BoxSource.DETECT:
        return [_given_box(record, image, making.boxes) for record, image in batch]
    images = [image for _, image in batch if not isinstance(image, DataError)]
    faces = iter(detector_of_process(making.detector).detect_batch(images) if images else [])
    return [image if isinstance(image, DataError) else _best_box(next(faces)) for _, image in batch]


def _best_box(faces: Faces) -> tuple[Box, float | None]:
    if len(faces) == 0:
        return NO_FACE, None
    return round_box(faces.boxes[0]), float(faces.scores[0])


def _given_box(record: Record, image: NDArray[np.uint8] | DataError, boxes: BoxSource) -> _Found:
    """Look up the box that came with an image."""
    if isinstance(image, DataError):
        return image
    if boxes is BoxSource.WHOLE:
        return Box(0, 0, image.shape[1], image.shape[0]), None
    try:
        if boxes is BoxSource.CROP_FILES and record.box_file is not None:
            return read_box(record.box_file), None
    except DataError as error:
        return error
    if boxes is BoxSource.MANIFEST and record.box is not None:
        return record.box, None
    return DataError(f"no box is given for {record.name}", "Give it one, or leave it out.")


def _make_pair(
    record: Record, image: NDArray[np.uint8] | DataError, found: _Found, making: PairMaking
) -> MadePair:
    """Cut face and context out of an image."""
    if isinstance(image, DataError):
        return _failed(record, image)
    if isinstance(found, DataError):
        return _failed(record, found)
    box, score = found
    status = Status.NO_FACE if box == NO_FACE else Status.OK
    entry = IndexRow(None, record.name, record.label, status, box, score)
    if status is Status.NO_FACE and making.skip_no_face:
        return MadePair(entry)
    try:
        face = sample_face(image, box)
        context = sample_context(image, box, official_jpeg=making.official_jpeg)
    except DataError as error:
        return _failed(record, error)
    pixels: tuple[NDArray[Any], ...] = (to_uint8(face), to_uint8(context))
    if record.targets is not None:
        pixels = (*pixels, np.array(record.targets, np.float32))
    return MadePair(entry, pixels)


def _failed(record: Record, error: DataError) -> MadePair:
    return MadePair(IndexRow(None, record.name, record.label, Status.ERROR, reason=error.what))
