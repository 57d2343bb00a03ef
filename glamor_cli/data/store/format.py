"""What a pair store is on disk: ``store.json`` and, for each split, arrays and an index.

``<store>/store.json`` says how the pairs were made; ``<store>/<split>/`` holds ``faces.npy``
(uint8 [N, 96, 96, 3]), ``contexts.npy`` (uint8 [N, 128, 171, 3]), ``index.csv`` (see
``glamor_cli.data.store.index``) and, where the data set has soft labels, ``targets.npy``
(float32 [N, classes]).
"""

import hashlib
import json
import struct
from dataclasses import asdict, dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from glamor_cli.data.store.index import IndexRow
from glamor_cli.errors import DataError, reason_of
from glamor_cli.files.atomic import write_json
from glamor_cli.files.local import require_local
from glamor_cli.files.reading import MALFORMED, read_bounded
from glamor_cli.labels import EMOTIONS
from glamor_cli.settings import flatten
from glamor_cli.vision.geometry import Geometry
from glamor_cli.vision.pairs import CONTEXT_SHAPE, FACE_SHAPE
from glamor_cli.vision.status import Status

SCHEMA = 1
STORE_FILE = "store.json"
MAX_BYTES = 16 << 20
"""Bytes of ``store.json``; larger files are refused unread."""
INDEX_FILE = "index.csv"

HEADER_BYTES = 128
"""Every array's header has this length, so that the number of rows can be written last."""


@dataclass(frozen=True)
class ArrayFormat:
    """One ``.npy`` file of a split.

    Attributes:
        file: Its name.
        dtype: Of its elements.
        row_shape: Shape of one row.
    """

    file: str
    dtype: str
    row_shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return prod(self.row_shape) * np.dtype(self.dtype).itemsize

    def header(self, rows: int) -> bytes:
        """Write the header of ``.npy`` version 1.0 for an array of this many rows."""
        shape = ", ".join(map(str, (rows, *self.row_shape)))
        text = f"{{'descr': '{self.dtype}', 'fortran_order': False, 'shape': ({shape}), }}"
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10)
        return start + text.encode("ascii").ljust(HEADER_BYTES - 11) + b"\n"


FACES = ArrayFormat("faces.npy", "|u1", (*FACE_SHAPE, 3))
CONTEXTS = ArrayFormat("contexts.npy", "|u1", (*CONTEXT_SHAPE, 3))


def targets_format(classes: int) -> ArrayFormat:
    """Describe the array of soft labels over so many classes."""
    return ArrayFormat("targets.npy", "<f4", (classes,))


@dataclass(frozen=True)
class Counts:
    """What became of a split's images.

    Attributes:
        read: All of them.
        stored: Those with a row in the arrays.
        no_face: Those without a face, whether stored or not.
        failed: Those that could not be read or have no usable box.
    """

    read: int = 0
    stored: int = 0
    no_face: int = 0
    failed: int = 0

    def plus(self, entry: IndexRow) -> "Counts":
        """Count one more image."""
        return Counts(
            read=self.read + 1,
            stored=self.stored + (entry.row is not None),
            no_face=self.no_face + (entry.status is Status.NO_FACE),
            failed=self.failed + (entry.status is Status.ERROR),
        )


@dataclass(frozen=True)
class SourceSummary:
    """What a split of the data set held, so that a later run can tell whether it changed.

    Attributes:
        images: How many it has.
        sha256: Over their names, labels, sizes in bytes, a manifest's boxes and soft labels, and
            what box files say where boxes come from them; not over their pixels, which it would
            take too long to read. Of stores that were merged: over theirs.
    """

    images: int
    sha256: str


_IDENTITY = (
    "source",
    "boxes",
    "detector",
    "official_jpeg",
    "skip_no_face",
    "soft_labels",
    "classes",
)
"""What decides a store's pairs, beside the detector's settings where there was one. Versions of
packages are left out: they move values in the last bits only."""


_KINDS = {
    "boxes": str,
    "detector": str | None,
    "detector_settings": dict,
    "official_jpeg": bool,
    "skip_no_face": bool,
    "versions": dict,
    "soft_labels": bool,
    "complete": bool,
    "index_sha256": dict,
}
"""Of the entries that are taken as ``store.json`` has them."""


@dataclass(frozen=True)
class StoreInfo:
    """How a store was made. It holds no times and no paths, so that equal work gives equal bytes.

    Attributes:
        boxes: Where the boxes came from: ``detect``, ``crop-files``, ``manifest`` or ``whole``.
        detector: The detector's name; None where it was not used.
        detector_settings: What the detector says of itself.
        official_jpeg: Whether contexts passed through the authors' JPEG step.
        skip_no_face: Whether images without a face were left out of the arrays.
        versions: Of the packages that decide the values.
        source: For each split, what the data set held.
        soft_labels: Whether there is a ``targets.npy``.
        classes: Names of the classes, in the order of the labels.
        geometry: How pairs were cut out. It is ``sampled`` in every store: whether contexts then
            passed through the JPEG step, ``official_jpeg`` says. Weights say both in one word.
        complete: Whether the store is finished.
        counts: For each split, what became of its images; empty until the store is finished.
        index_sha256: For each split, of its index, which holds the labels; empty until the store is
            finished, and in stores of older versions.
        schema: Version of this layout.
    """

    boxes: str
    detector: str | None
    detector_settings: dict[str, str | float | bool | int]
    official_jpeg: bool
    skip_no_face: bool
    versions: dict[str, str]
    source: dict[str, SourceSummary]
    soft_labels: bool = False
    classes: tuple[str, ...] = EMOTIONS
    geometry: Geometry = Geometry.SAMPLED
    complete: bool = False
    counts: dict[str, Counts] = field(default_factory=dict)
    index_sha256: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def arrays(self) -> tuple[ArrayFormat, ...]:
        """List the arrays that each split has."""
        base = (FACES, CONTEXTS)
        return (*base, targets_format(len(self.classes))) if self.soft_labels else base

    @property
    def identity(self) -> str:
        """A digest of the images and of what was made of them: the same wherever the store lies."""
        settings = asdict(self)
        values = {name: settings[name] for name in _IDENTITY}
        if self.detector is not None:
            values["detector_settings"] = self.detector_settings
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def write(self, store: Path) -> None:
        """Write ``store.json`` atomically.

        Raises:
            ConfigError: The folder cannot be written to.
        """
        write_json(store / STORE_FILE, asdict(self), sort_keys=True)

    @classmethod
    def read(cls, store: Path) -> "StoreInfo":
        """Read ``store.json``.

        Raises:
            DataError: It is missing, damaged or of another version of glamor.
        """
        require_local(store)
        path = store / STORE_FILE
        try:
            text = read_bounded(path, MAX_BYTES).decode("utf-8")
        except FileNotFoundError as error:
            raise DataError(
                f"{store} is not a pair store: it has no {STORE_FILE}",
                "Make one with: glamor preprocess SOURCE STORE",
            ) from error
        except (OSError, ValueError) as error:  # the latter of bytes that are no text, and of NUL
            raise DataError(
                f"cannot read {path}: {reason_of(error)}", "Check the store's files."
            ) from error
        try:
            values: dict[str, Any] = json.loads(text)
            schema = values["schema"]
            unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
            if schema == SCHEMA and not unknown:
                return cls._from_values(values)
        except MALFORMED as error:
            raise DataError(
                f"{path} is damaged ({error})", "Preprocess the data set into a new folder."
            ) from error
        other_schema = f"of schema {schema!r}, not {SCHEMA}"
        kind = f"with unknown entries {unknown}" if schema == SCHEMA else other_schema
        raise DataError(
            f"{store} is a store {kind}",
            "Use the version of glamor that made it, or preprocess the data set again.",
        )

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> "StoreInfo":
        values["geometry"] = Geometry(values["geometry"])
        values["classes"] = tuple(str(name) for name in values["classes"])
        values["counts"] = {
            name: Counts(**{key: int(count) for key, count in counts.items()})
            for name, counts in values["counts"].items()
        }
        values["source"] = {
            name: SourceSummary(int(part["images"]), str(part["sha256"]))
            for name, part in values["source"].items()
        }
        values.setdefault("index_sha256", {})
        info = cls(**values)
        _check_kinds(info)
        if not info.classes or not info.source:
            raise ValueError("no classes or no splits")
        for name in info.classes:
            # Classes become folders' names where crops are exported.
            if not name.isprintable() or name in ("", ".", "..") or "/" in name or "\\" in name:
                raise ValueError(f"bad class name {name!r}")
        if info.complete and set(info.counts) != set(info.source):
            raise ValueError("counts are missing")
        if info.complete and info.index_sha256 and set(info.index_sha256) != set(info.source):
            raise ValueError("checksums of indexes are missing")
        for name in info.source:
            if not name or not name.isprintable() or name[0] == "." or set(name) & set("/\\"):
                raise ValueError(f"bad split name {name!r}")
        return info

    def differences(self, other: "StoreInfo") -> list[str]:
        """Name every setting in which another store was begun differently, ``a: x, now y``."""
        mine, others = flatten(self._settings()), flatten(other._settings())
        return [
            f"{key}: {_in_words(others.get(key))}, now {_in_words(mine.get(key))}"
            for key in sorted(mine.keys() | others.keys())
            if mine.get(key) != others.get(key)
        ]

    def described(self) -> dict[str, str]:
        """Every setting by name as text, for showing."""
        return {name: _in_words(value) for name, value in flatten(self._settings()).items()}

    def _settings(self) -> dict[str, Any]:
        settings = json.loads(json.dumps(asdict(self)))
        del settings["complete"], settings["counts"], settings["index_sha256"]
        return dict(settings)


def _in_words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _check_kinds(info: StoreInfo) -> None:
    """Refuse what a stranger's file may hold in the place of texts and numbers, however deep.

    Raises:
        TypeError: An entry is of another kind.
    """
    for name, kind in _KINDS.items():
        value = getattr(info, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, dict) and any(isinstance(one, dict | list) for one in value.values()):
            raise TypeError(f"{name} holds more than texts and numbers")
