"""Reading TensorFlow 2 checkpoints ("tensor bundles") without TensorFlow.

``<prefix>.index`` is a table from variable names to where their bytes lie in the shards
``<prefix>.data-0000i-of-0000n``. Its values are two small protocol-buffer messages, which
``protobuf_wire`` reads without generated code. The one pure-Python reader that is published
checks no checksum and needs a protobuf of 2021.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import CheckpointError, reason_of
from glamor_cli.export.leveldb_table import masked_crc32c, read_table
from glamor_cli.files.protobuf_wire import read_fields
from glamor_cli.files.reading import open_file, read_bounded

MAX_INDEX_BYTES = 2**20
"""A larger index is refused: its entries take a hundred times its size. The authors' has 5 KB."""

_REMEDY = "The checkpoint is damaged, incomplete or of another kind; copy all its files again."
_FLOAT = 1
_TYPES = {_FLOAT: "float32", 2: "float64", 3: "int32", 7: "string", 9: "int64", 14: "bfloat16"}
_TYPES |= {19: "float16"}
_MOST_DIMENSIONS = 254

# Fields of the messages in tensor_bundle.proto and tensor_shape.proto.
_HEADER_SHARDS, _HEADER_ENDIANNESS = 1, 2
_DTYPE, _SHAPE, _SHARD, _OFFSET, _SIZE, _CRC32C, _SLICES = range(1, 8)
_SHAPE_DIMENSION, _DIMENSION_SIZE = 2, 1


@dataclass(frozen=True)
class BundleEntry:
    """Where one tensor lies, and what it is.

    Attributes:
        dtype: TensorFlow's number of its type.
        shape: In TensorFlow's layout.
        shard: Number of the data file.
        offset: Of its first byte.
        size: In bytes.
        crc32c: Masked checksum of its bytes.
        sliced: Whether it is kept in several pieces, which only distributed programs do.
    """

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc32c: int = 0
    sliced: bool = False


@dataclass(frozen=True)
class TensorBundle:
    """An opened checkpoint: its index is read and every entry lies inside its shard.

    Attributes:
        prefix: What its files' names begin with.
        shards: How many data files it has.
        entries: By their full key.
    """

    prefix: Path
    shards: int
    entries: dict[str, BundleEntry] = field(repr=False)

    @classmethod
    def open(cls, prefix: Path) -> "TensorBundle":
        """Read the index.

        Args:
            prefix: What the files' names begin with; the path of the index will do as well.

        Raises:
            CheckpointError: A file is missing, damaged, or of another kind.
        """
        if prefix.suffix == ".index":
            prefix = prefix.with_suffix("")
        index = Path(f"{prefix}.index")
        try:
            data = read_bounded(index, MAX_INDEX_BYTES)
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot read {index}: {reason_of(error)}",
                "Give what the checkpoint's file names begin with: path/to/Model for "
                "path/to/Model.index and its data files.",
            ) from error
        try:
            table = read_table(data)
            shards = _parse_header(table.pop(b"", None))
            entries = {key.decode(): _parse_named(key, value) for key, value in table.items()}
        except ValueError as error:
            raise CheckpointError(
                f"{index} is not the intact index of a TensorFlow 2 checkpoint: {error}", _REMEDY
            ) from error
        bundle = cls(prefix, shards, entries)
        for name, entry in entries.items():
            bundle._check_place(name, entry)
        return bundle

    def read(self, key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Read one float32 tensor and verify its checksum.

        Args:
            key: Its full key; it must be in ``entries``.
            shape: What it has to be, in TensorFlow's layout.

        Raises:
            CheckpointError: It is of another type or shape, or its bytes are damaged.
        """
        entry = self.entries[key]
        if entry.sliced:
            raise self._error(key, "is kept in slices, which glamor does not read")
        if entry.dtype != _FLOAT:
            found = _TYPES.get(entry.dtype, f"type {entry.dtype}")
            raise self._error(key, f"holds {found}, not float32")
        if entry.shape != shape:
            raise self._error(key, f"has shape {entry.shape}, not {shape}")
        if entry.size != 4 * prod(shape):
            raise self._error(key, f"has {entry.size} bytes, not {4 * prod(shape)}")
        try:
            with open_file(self._shard(entry)) as handle:
                handle.seek(entry.offset)
                data = handle.read(entry.size)
        except OSError as error:
            raise self._error(key, f"cannot be read: {reason_of(error)}") from error
        if len(data) != entry.size or masked_crc32c(data) != entry.crc32c:
            raise self._error(key, f"does not match its checksum in {self._shard(entry).name}")
        return np.frombuffer(data, "<f4").reshape(shape)

    def _check_place(self, key: str, entry: BundleEntry) -> None:
        if entry.shard >= self.shards:
            raise self._error(key, f"is said to lie in shard {entry.shard} of {self.shards}")
        shard = self._shard(entry)
        try:
            available = shard.stat().st_size
        except OSError as error:
            reason = reason_of(error)
            raise self._error(
                key, f"lies in {shard.name}, which cannot be read: {reason}"
            ) from error
        if entry.offset + entry.size > available:
            raise self._error(
                key,
                f"ends at byte {entry.offset + entry.size} of {shard.name}, "
                f"which has only {available}",
            )

    def _shard(self, entry: BundleEntry) -> Path:
        return Path(f"{self.prefix}.data-{entry.shard:05d}-of-{self.shards:05d}")

    def _error(self, key: str, what: str) -> CheckpointError:
        return CheckpointError(f"{self.prefix}: {_printable(key)} {what}", _REMEDY)


def _parse_header(data: bytes | None) -> int:
    """Read how many shards a bundle has."""
    if data is None:
        raise ValueError("it has no header")
    shards = 0
    for part in read_fields(memoryview(data)):
        if part.number == _HEADER_SHARDS:
            shards = part.integer()
        elif part.number == _HEADER_ENDIANNESS and part.value != 0:
            raise ValueError("its numbers are big-endian")
    if not 1 <= shards <= 99_999:
        raise ValueError(f"it claims {shards} shards")
    return shards


def _parse_named(key: bytes, data: bytes) -> BundleEntry:
    try:
        return _parse_entry(data)
    except ValueError as error:
        raise ValueError(f"the entry of {_printable(key.decode())}: {error}") from error


def _parse_entry(data: bytes) -> BundleEntry:
    numbers = dict.fromkeys((_DTYPE, _SHARD, _OFFSET, _SIZE, _CRC32C), 0)
    shape: tuple[int, ...] = ()
    sliced = False
    for part in read_fields(memoryview(data)):
        if part.number in numbers:
            numbers[part.number] = part.integer()
        elif part.number == _SHAPE:
            shape = tuple(_parse_shape(part.message()))
        elif part.number == _SLICES:
            sliced = True
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"it has {len(shape)} dimensions")
    return BundleEntry(
        dtype=numbers[_DTYPE],
        shape=shape,
        shard=numbers[_SHARD],
        offset=numbers[_OFFSET],
        size=numbers[_SIZE],
        crc32c=numbers[_CRC32C],
        sliced=sliced,
    )


def _parse_shape(data: memoryview) -> Iterator[int]:
    """Read the sizes of a TensorShapeProto; each is a message of its own."""
    for part in read_fields(data):
        if part.number == _SHAPE_DIMENSION:
            dimension = read_fields(part.message())
            sizes = [inner.integer() for inner in dimension if inner.number == _DIMENSION_SIZE]
            yield sizes[-1] if sizes else 0


def _printable(key: str) -> str:
    """Shorten a key to the variable's name; a foreign file's key may hold anything."""
    name = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    return name if name.isprintable() and len(name) <= 200 else ascii(name[:200])
