"""From images to stored pairs, the part of preprocessing that worker processes run."""

import importlib
import importlib.metadata
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from glamor_cli import __version__
from glamor_cli.data.data_sets.crop_files import read_box
from glamor_cli.data.data_sets.data_set import Record
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.source_summary import is_reachable
from glamor_cli.data.store.index import IndexRow
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.faces import Detector
from glamor_cli.vision.heif import HEIF_PACKAGE, reads_heif
from glamor_cli.vision.images import is_turned, read_image
from glamor_cli.vision.options import DETECTOR_PACKAGES, DetectorKind
from glamor_cli.vision.pairs import (
    NO_FACE,
    Box,
    clip_box,
    jpeg_step_version,
    round_box,
    sample_context,
    sample_face,
    to_uint8,
)
from glamor_cli.vision.status import Status

_detectors = threading.local()


@dataclass(frozen=True, eq=False)
class MadePair:
    """What became of one image.

    Attributes:
        entry: Its line in the index, the row's number still missing.
        pixels: Its face, uint8 [96, 96, 3], its context, uint8 [128, 171, 3], and its soft label,
            float32 [classes], if it has one; empty if the image is not to be stored.
        missing: Its image, or its box file's folder, if that is not there on the machine that
            looked.
    """

    entry: IndexRow
    pixels: tuple[NDArray[Any], ...] = ()
    missing: Path | None = None


def detector_of_thread(kind: DetectorKind) -> Detector:
    """Open the detector once per thread, with no threads of its own: parallelism is ours.

    A cluster's workers may run several tasks in a process, and dlib's network can serve only one at
    a time.
    """
    detector: Detector | None = getattr(_detectors, kind.name, None)
    if detector is None:
        detector = open_detector(kind, threads=1)
        setattr(_detectors, kind.name, detector)
    return detector


@lru_cache(maxsize=1)
def deciding_versions(making: PairMaking) -> dict[str, str]:
    """Tell the versions of the packages that decide the values of pairs, in this process.

    Raises:
        BackendUnavailable: The detector is not installed here.
    """
    versions = {"glamor": __version__, "numpy": np.__version__, "pillow": PIL.__version__}
    if reads_heif():
        versions[HEIF_PACKAGE] = importlib.metadata.version(HEIF_PACKAGE)
    if making.boxes is BoxSource.DETECT:
        detector_of_thread(making.detector)
        engine = DETECTOR_PACKAGES[making.detector]
        versions[engine] = str(importlib.import_module(engine).__version__)
    if making.official_jpeg:
        versions["simplejpeg"] = jpeg_step_version()
    return versions


def make_pairs(
    records: tuple[Record, ...], making: PairMaking, versions: dict[str, str]
) -> list[MadePair]:
    """Make the pairs of some images, in their order. It runs in any process of any machine.

    An image that cannot be used gives an entry with status ``error`` and the reason.

    Args:
        records: The images.
        making: How; where the boxes come from is decided, so not AUTO.
        versions: What ``deciding_versions`` must hold here, so that no store holds two kinds of
            pairs.

    Raises:
        ConfigError: Other versions are installed here.
        BackendUnavailable: The detector or the JPEG step is not installed here.
    """
    _check_versions(versions, deciding_versions(making))
    return [_make_pair(record, making) for record in records]


def _make_pair(record: Record, making: PairMaking) -> MadePair:
    """Read an image, find its box, and cut face and context out of it."""
    try:
        image = read_image(record.source)
        box, score = _find_box(record, image, making)
    except DataError as error:
        return _failed(record, error)
    try:
        # A box above or left of the image is what the authors' program takes for no face.
        box = NO_FACE if clip_box(box, *image.shape[:2]) == NO_FACE else box
        status = Status.NO_FACE if box == NO_FACE else Status.OK
        entry = IndexRow(None, record.name, record.label, status, box, score)
        if status is Status.NO_FACE and making.skip_no_face:
            return MadePair(entry)
        face = sample_face(image, box)
        context = sample_context(image, box, official_jpeg=making.official_jpeg)
    except DataError as error:
        # Boxes for the picture as it is stored miss the one that it is shown as.
        note = ", turned upright by its EXIF" if is_turned(record.source) else ""
        return _failed(record, error, note)
    pixels: tuple[NDArray[Any], ...] = (to_uint8(face), to_uint8(context))
    if record.targets is not None:
        pixels = (*pixels, np.array(record.targets, np.float32))
    return MadePair(entry, pixels)


def _find_box(
    record: Record, image: NDArray[np.uint8], making: PairMaking
) -> tuple[Box, float | None]:
    """Find the box of an image, and the detector's score where it was asked."""
    boxes = making.boxes
    if boxes is BoxSource.DETECT:
        faces = detector_of_thread(making.detector).detect(image)
        if len(faces) == 0:
            return NO_FACE, None
        return round_box(faces.boxes[0]), float(faces.scores[0])
    if boxes is BoxSource.WHOLE:
        return Box(0, 0, image.shape[1], image.shape[0]), None
    if boxes is BoxSource.CROP_FILES and record.box_file is not None:
        return read_box(record.box_file), None
    if boxes is BoxSource.MANIFEST and record.box is not None:
        return record.box, None
    raise DataError(f"no box is given for {record.name}", "Give it a box, or leave the image out.")


def lost_pair(record: Record) -> MadePair:
    """Say of an image that the process that read it died."""
    return MadePair(
        IndexRow(
            None,
            record.name,
            record.label,
            Status.ERROR,
            reason=f"{record.name} killed the process that read it",
        )
    )


def _failed(record: Record, error: DataError, note: str = "") -> MadePair:
    missing = None
    if isinstance(error.__cause__, OSError) and error.__cause__.filename:
        path = Path(error.__cause__.filename)
        # An image may lack its box file, but not all of them their folder.
        path = path if path == record.source else path.parent
        missing = None if is_reachable(path) else path
    # A store holds no paths of a machine, so that equal work gives equal bytes everywhere.
    # Spaces at its ends, as manifests come by, would not be seen.
    name = record.name if record.name == record.name.strip() else repr(record.name)
    reason = error.what.replace(str(record.source), name) + note
    if record.box_file is not None:
        reason = reason.replace(str(record.box_file), record.box_file.name)
    entry = IndexRow(None, record.name, record.label, Status.ERROR, reason=reason)
    return MadePair(entry, missing=missing)


def _check_versions(expected: dict[str, str], found: dict[str, str]) -> None:
    """Refuse to make pairs with other packages than those the store was begun with."""
    for name, version in expected.items():
        if found.get(name) != version:
            raise ConfigError(
                f"a worker has {name} {found.get(name)}, but this process has {version}",
                "Install the same packages on every machine of the cluster.",
            )
