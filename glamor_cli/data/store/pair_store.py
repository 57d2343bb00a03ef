"""Reading pair stores; ``format.py`` says what the files hold."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.store.format import (
    CONTEXTS,
    FACES,
    HEADER_BYTES,
    INDEX_FILE,
    ArrayFormat,
    Counts,
    StoreInfo,
    targets_format,
)
from glamor_cli.data.store.index import IndexRow, read_index
from glamor_cli.errors import ConfigError, DataError, reason_of
from glamor_cli.files.reading import open_file, sha256
from glamor_cli.vision.pairs import NO_FACE, crop_context

_REMEDY = "Preprocess the data set into a new folder."
PROGRESS_ROWS = 256
"""So many rows are read between two reports of progress."""


@dataclass(frozen=True, eq=False)
class Split:
    """A part of a store, memory-mapped; all arrays have one row per stored pair.

    Attributes:
        name: Its name.
        classes: Names of the classes, in the order of the labels.
        faces: uint8 [N, 96, 96, 3], RGB.
        contexts: uint8 [N, 128, 171, 3], RGB, zero where the face is; not cropped yet.
        targets: float32 [N, classes], soft labels of sum 1; None where the store has none.
        labels: int64 [N], each an index into ``classes``.
        sources: Names of the images in their data set.
        boxes: int32 [N, 4], x1, y1, x2, y2 in pixels; zeros where there is no face.
        scores: float32 [N], the detector's confidence; NaN where no detector was asked.
    """

    name: str
    classes: tuple[str, ...]
    faces: NDArray[np.uint8]
    contexts: NDArray[np.uint8]
    targets: NDArray[np.float32] | None
    labels: NDArray[np.int64]
    sources: list[str]
    boxes: NDArray[np.int32]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        """How many pairs are stored."""
        return len(self.labels)

    def require_pairs(self) -> None:
        """Refuse a split without pairs.

        Raises:
            DataError: It is one.
        """
        if not len(self):
            raise DataError(
                f"the split {self.name} holds no pairs",
                "Preprocess more labelled images, or choose another split.",
            )

    def class_counts(self) -> list[int]:
        """How many pairs each class has, in the order of ``classes``."""
        return [int(n) for n in np.bincount(self.labels, minlength=len(self.classes))]

    def pairs(
        self, rows: slice | NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read pairs as the network takes them for evaluation.

        Args:
            rows: Which; a slice, or row numbers in any order.

        Returns:
            Faces, float32 [B, 3, 96, 96], and contexts, float32 [B, 3, 112, 112] (the central
            crop), RGB in [0, 1].
        """
        return _to_network(self.faces[rows]), _to_network(crop_context(self.contexts[rows]))


class PairStore:
    """A finished pair store.

    Attributes:
        path: Its folder.
        info: How it was made.
        splits: Names of its splits.
    """

    def __init__(self, path: Path, info: StoreInfo) -> None:
        self.path = path
        self.info = info
        self.splits = tuple(info.source)
        self._opened: dict[str, Split] = {}

    @classmethod
    def open(cls, path: str | Path) -> "PairStore":
        """Open a store after checking its schema, and its arrays' types, shapes and sizes.

        Raises:
            DataError: It is not a store, of another schema, unfinished, or damaged.
        """
        path = Path(path)
        info = StoreInfo.read(path)
        if not info.complete:
            raise DataError(
                f"the store {path} is unfinished",
                "Run the same glamor preprocess or glamor store merge command again: it goes on "
                "from there.",
            )
        store = cls(path, info)
        for name in store.splits:
            store.arrays(name)
        return store

    def split(self, name: str) -> Split:
        """Open a split and read its index.

        Raises:
            ConfigError: There is no such split.
            DataError: Its index is damaged.
        """
        self._require(name)
        if name not in self._opened:
            self._opened[name] = self._read_split(name)
        return self._opened[name]

    def entries(self, name: str) -> Iterator[IndexRow]:
        """Stream what became of every image of a split, stored or not.

        Raises:
            ConfigError: There is no such split.
            DataError: The index is damaged.
        """
        self._require(name)
        for entry, _ in read_index(self.path / name / INDEX_FILE):
            yield entry

    def pictures(self, name: str) -> Iterator[tuple[IndexRow, int]]:
        """Stream the stored images of a split, each with a checksum of its pixels alone.

        No pixels are read: the index has the checksums, and of those that include soft labels the
        part before these follows. Rows beyond the arrays, of a damaged index, are left out.

        Raises:
            ConfigError: There is no such split.
            DataError: A file is missing or damaged.
        """
        *_, last = map(np.asarray, self.arrays(name))
        for entry in self.entries(name):
            if entry.row is None or entry.crc32 is None or entry.row >= len(last):
                continue
            if self.info.soft_labels:
                yield entry, crc32_before(entry.crc32, last[entry.row].tobytes())
            else:
                yield entry, entry.crc32

    def arrays(self, name: str) -> tuple[NDArray[Any], ...]:
        """Memory-map the arrays of a split, in the order in which rows are checksummed.

        Raises:
            ConfigError: There is no such split.
            DataError: A file is missing or damaged.
        """
        self._require(name)
        return tuple(self._map(name, array) for array in self.info.arrays())

    def verify(self, on_progress: Callable[[int], None] = lambda _: None) -> int:
        """Compare every row's checksum, and the indexes with the counts and their own checksums.

        Args:
            on_progress: Called now and then with how many rows were compared.

        Returns:
            How many rows were compared.

        Raises:
            DataError: Something is damaged; the message names the first image it concerns.
        """
        checked = 0
        for name in self.splits:
            arrays = self.arrays(name)
            counts = Counts()
            for entry in self.entries(name):
                counts = counts.plus(entry)
                if self.read_row(name, entry, arrays):
                    checked += 1
                    if checked % PROGRESS_ROWS == 0:
                        on_progress(checked)
            if counts != self.info.counts[name]:
                raise DataError(
                    f"{self.path}: the index of {name} counts {counts}, "
                    f"but store.json says {self.info.counts[name]}",
                    _REMEDY,
                )
            self.check_index(name)
        return checked

    def read_row(
        self, name: str, entry: IndexRow, arrays: tuple[NDArray[Any], ...]
    ) -> tuple[NDArray[Any], ...]:
        """Read an image's row and compare its checksum.

        Args:
            name: The split.
            entry: The image.
            arrays: Those of the split.

        Returns:
            The row of each array; nothing of an image that is not stored.

        Raises:
            DataError: It is damaged; the message names the image.
        """
        if entry.row is None:
            return ()
        if entry.row < len(arrays[0]):
            pixels = tuple(values[entry.row] for values in arrays)
            if row_crc32(*pixels) == entry.crc32:
                return pixels
        raise DataError(
            f"{self.path}: row {entry.row} of {name} ({entry.source}) is damaged", _REMEDY
        )

    def check_index(self, name: str) -> None:
        """Compare a split's index with its checksum; stores of older versions have none.

        Raises:
            ConfigError: There is no such split.
            DataError: It is damaged.
        """
        self._require(name)
        path, known = self.path / name / INDEX_FILE, self.info.index_sha256.get(name)
        try:
            damaged = known is not None and sha256(path) != known
        except OSError as error:
            raise DataError(f"cannot read {path}: {reason_of(error)}", _REMEDY) from error
        if damaged:
            raise DataError(f"{path} is damaged: labels, names or boxes have changed", _REMEDY)

    def labels_sha256(self) -> str:
        """Digest the labels and soft labels of all splits.

        Raises:
            DataError: An index is damaged.
        """
        digest = hashlib.sha256()
        for name in self.splits:
            split = self.split(name)
            digest.update(f"{name}\0{len(split)}\0".encode())
            for values in (split.labels, split.targets):
                if values is not None:
                    digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()

    def _require(self, name: str) -> None:
        """Refuse a split that there is not."""
        if name not in self.splits:
            raise ConfigError(
                f"{self.path} has no split {name!r}",
                f"Choose one that it has: {', '.join(self.splits)}.",
            )

    def _read_split(self, name: str) -> Split:
        indices = {label: index for index, label in enumerate(self.info.classes)}
        labels, sources, boxes, scores = [], [], [], []
        for entry in self.entries(name):
            if entry.row is None:
                continue
            if entry.label not in indices:
                raise DataError(
                    f"{self.path}: {name} has the unknown class {entry.label!r}", _REMEDY
                )
            labels.append(indices[entry.label])
            sources.append(entry.source)
            boxes.append(entry.box or NO_FACE)
            scores.append(np.nan if entry.score is None else entry.score)
        stored = self.info.counts[name].stored
        if len(labels) != stored:
            raise DataError(
                f"{self.path}: the index of {name} has {len(labels)} rows, but the arrays {stored}",
                _REMEDY,
            )
        try:
            box_array = np.array(boxes, np.int32).reshape(-1, 4)
        except OverflowError as error:
            raise DataError(f"{self.path}: {name} has an impossible box", _REMEDY) from error
        classes = len(self.info.classes)
        return Split(
            name=name,
            classes=self.info.classes,
            faces=self._map(name, FACES),
            contexts=self._map(name, CONTEXTS),
            targets=self._map(name, targets_format(classes)) if self.info.soft_labels else None,
            labels=np.array(labels, np.int64),
            sources=sources,
            boxes=box_array,
            scores=np.array(scores, np.float32),
        )

    def _map(self, split: str, array: ArrayFormat) -> NDArray[Any]:
        """Memory-map an array whose header and size are exactly what the counts say."""
        path = self.path / split / array.file
        rows = self.info.counts[split].stored
        try:
            with open_file(path) as handle:
                header = handle.read(HEADER_BYTES)
            size = path.stat().st_size
        except OSError as error:
            raise DataError(f"cannot read {path}: {reason_of(error)}", _REMEDY) from error
        shape = (rows, *array.row_shape)
        if header != array.header(rows):
            raise DataError(
                f"{path} is not the array of {np.dtype(array.dtype)} {list(shape)} that "
                "store.json describes",
                _REMEDY,
            )
        expected = HEADER_BYTES + rows * array.row_bytes
        if size != expected:
            raise DataError(f"{path} has {size} bytes instead of {expected}", _REMEDY)
        if rows == 0:
            return np.zeros(shape, array.dtype)
        return np.memmap(path, array.dtype, "r", HEADER_BYTES, shape)


def row_crc32(*arrays: NDArray[Any]) -> int:
    """Checksum one row of all arrays of a split, in their order."""
    crc32 = 0
    for array in arrays:
        crc32 = zlib.crc32(np.ascontiguousarray(array).data, crc32)
    return crc32


def crc32_before(crc32: int, tail: bytes) -> int:
    """Give the CRC-32 of what comes before ``tail`` from that of the whole: each step is undone."""
    state = crc32 ^ 0xFFFFFFFF
    for byte in reversed(tail):
        index = _CRC32_INDEX[state >> 24]
        state = (state ^ _CRC32_TABLE[index]) << 8 | index ^ byte
    return state ^ 0xFFFFFFFF


# The state after a byte is ``TABLE[(state ^ byte) & 255] ^ state >> 8``, of which the first part
# alone reaches the top 8 bits: these tell which entry of the table it was.
_CRC32_TABLE = [zlib.crc32(bytes([index ^ 0xFF])) ^ 0xFF000000 for index in range(256)]
_CRC32_INDEX = {value >> 24: index for index, value in enumerate(_CRC32_TABLE)}


def _to_network(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] in [0, 1]."""
    channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return channels_first.astype(np.float32) / np.float32(255)
