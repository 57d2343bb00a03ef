"""FER2013 with the votes of FER+, from its two ``.npz`` files to images and a manifest.

FER2013's own labels are noisy: they agree with the top vote of FER+'s ten annotators on 63% of the
images. So the manifest carries soft labels, a mixture of both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.data.data_sets.class_names import find_class
from glamor_cli.data.options import VOTES_SHARE
from glamor_cli.errors import ConfigError, DataError, reason_of
from glamor_cli.files.atomic import cannot_write, write_text
from glamor_cli.files.csv_line import csv_line
from glamor_cli.files.reading import open_file
from glamor_cli.files.unsynced import unsynced_path
from glamor_cli.labels import EMOTIONS
from glamor_cli.settings import require_share
from glamor_cli.system.undisturbed import undisturbed

SPLITS = ("train", "validation")
# Marks in one split the copies of the other's images.
_DUPLICATES = {"train": "duplicate_of_evaluation", "validation": "duplicate_of_train"}
_MANIFEST = "manifest.csv"
_MAX_BYTES = 1 << 30
"""Of an unpacked archive; FER2013's larger one has 70 MB."""
_REMEDY = "Give the folder that holds train.npz and validation.npz."


@dataclass(frozen=True)
class Fer2013Report:
    """What became of a split's images.

    Attributes:
        written: Images in the manifest.
        duplicates: Left out as copies of images in another split.
        lossy: Left out because only a JPEG of them exists; nearly all of these are not faces.
    """

    written: int
    duplicates: int
    lossy: int


def convert_fer2013(
    folder: str | Path, out: str | Path, *, votes_share: float = VOTES_SHARE
) -> dict[str, Fer2013Report]:
    """Write FER2013 as a folder of PNG files with a ``manifest.csv`` that has soft labels.

    Args:
        folder: Holds ``train.npz`` and ``validation.npz`` with the arrays ``images`` (uint8
            [N, 48, 48]), ``labels``, ``classes``, ``names``, ``ferplus_votes``,
            ``ferplus_classes``, ``lossless`` and ``duplicate_of_...``.
        out: Gets ``<split>/<number>-<name>.png`` and ``manifest.csv``.
        votes_share: Share of FER+'s votes in the soft label (over the seven classes; votes for
            anything else do not count); the rest is FER2013's own label. An image
            without a vote for the seven classes has its own label alone.

    Returns:
        For each split, what became of its images.

    Raises:
        ConfigError: ``votes_share`` is not from 0 to 1, ``out`` has a manifest of other images, or
            it cannot be written to.
        DataError: The files are missing or hold something else.
    """
    require_share(votes_share, "the votes' share", "Give --votes-share from 0 to 1.")
    folder, out = Path(folder), Path(out)
    lines = [csv_line(("path", "label", "split", *EMOTIONS))]
    _require_own(out / _MANIFEST, lines[0])
    # Both, before the first image is written.
    loaded = {split: _load(folder / f"{split}.npz", _DUPLICATES[split]) for split in SPLITS}
    reports = {}
    for split, arrays in loaded.items():
        duplicates, lossy = arrays[_DUPLICATES[split]], ~arrays["lossless"]
        keep = ~duplicates & ~lossy
        targets = _soft_labels(arrays, votes_share)
        for index in np.flatnonzero(keep):
            # Two of the original names occur in two folders; the number tells them apart.
            name = f"{split}/{index:05d}-{Path(str(arrays['names'][index])).stem}.png"
            _write_png(out / name, arrays["images"][index])
            label = EMOTIONS[arrays["labels"][index]]
            shares = (f"{share:.6g}" for share in targets[index])
            lines.append(csv_line((name, label, split, *shares)))
        reports[split] = Fer2013Report(
            written=int(keep.sum()),
            duplicates=int(duplicates.sum()),
            lossy=int((lossy & ~duplicates).sum()),
        )
    write_text(out / _MANIFEST, "".join(lines))
    return reports


def _require_own(manifest: Path, header: str) -> None:
    """Refuse to replace a manifest that an earlier call did not write."""
    expected = header.encode()
    try:
        with open_file(manifest) as handle:
            begin = handle.read(len(expected))
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(manifest, reason_of(error)) from error
    if begin != expected:
        raise ConfigError(
            f"{manifest} is a manifest of other images", "Choose a folder without a manifest."
        )


def _soft_labels(arrays: dict[str, NDArray[Any]], share: float) -> NDArray[np.float64]:
    """Mix votes and labels: float64 [N, 7], each row of sum 1."""
    columns = [find_class(str(name)) for name in arrays["ferplus_classes"]]
    order = [columns.index(name) for name in EMOTIONS]
    votes = arrays["ferplus_votes"][:, order].astype(np.float64)
    one_hot = np.eye(len(EMOTIONS))[arrays["labels"].astype(np.intp)]
    total = votes.sum(axis=1, keepdims=True)
    voted = np.where(total > 0, votes / np.where(total > 0, total, 1), one_hot)
    mixture: NDArray[np.float64] = share * voted + (1 - share) * one_hot
    return mixture


def _load(path: Path, duplicates: str) -> dict[str, NDArray[Any]]:
    """Read the arrays of a split, and check that they are what they should be."""
    names = ("images", "labels", "classes", "names", "ferplus_votes", "ferplus_classes")
    try:
        # Opened here because NumPy leaves a damaged archive's file open.
        with open_file(path) as handle, np.load(handle, allow_pickle=False) as archive:
            unpacked = sum(entry.file_size for entry in archive.zip.infolist())
            if unpacked > _MAX_BYTES:
                raise ValueError(f"it unpacks to {unpacked} bytes")
            arrays = {name: archive[name] for name in (*names, "lossless", duplicates)}
    except Exception as error:
        # Damaged, encrypted or otherwise packed archives raise whatever their unpackers do.
        raise DataError(f"cannot read {path}: {reason_of(error)}", _REMEDY) from error
    count, voted = arrays["labels"].size, arrays["ferplus_classes"]
    shapes = {
        "images": (count, 48, 48),
        "labels": (count,),
        "names": (count,),
        "ferplus_votes": (count, voted.size),
        "lossless": (count,),
        duplicates: (count,),
    }
    fits = all(arrays[name].shape == shape for name, shape in shapes.items())
    votes = arrays["ferplus_votes"]
    if (
        not fits
        or arrays["images"].dtype != np.uint8
        or arrays["lossless"].dtype != np.bool_
        or arrays[duplicates].dtype != np.bool_
        or votes.dtype.kind not in "iuf"
        or not ((votes >= 0) & np.isfinite(votes)).all()
        or any("\0" in str(name) for name in arrays["names"])
        or tuple(map(str, arrays["classes"].ravel())) != EMOTIONS
        or not set(EMOTIONS) <= {find_class(str(name)) for name in voted.ravel()}
        or not np.issubdtype(arrays["labels"].dtype, np.integer)
        or not np.isin(arrays["labels"], np.arange(len(EMOTIONS))).all()
    ):
        raise DataError(f"{path} does not hold FER2013 in the expected form", _REMEDY)
    return arrays


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    try:
        # A Ctrl-C is heard between images.
        with undisturbed(), unsynced_path(path) as temporary:
            Image.fromarray(pixels).save(temporary, "PNG")
    except OSError as error:
        raise cannot_write(path, reason_of(error)) from error
