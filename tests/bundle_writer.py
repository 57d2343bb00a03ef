"""Writing TensorFlow checkpoints, good and bad ones, with every checksum as it should be."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glamor_cli.export.leveldb_table import masked_crc32c

MAGIC = 0xDB4775248B80FB57
FLOAT, INT64 = 1, 9


def varint(value: int) -> bytes:
    """Encode an unsigned number, 7 bits a byte."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """Encode a number field of a protocol-buffer message."""
    return varint(field << 3) + varint(value)


def message(field: int, value: bytes) -> bytes:
    """Encode a message field of a protocol-buffer message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


@dataclass(frozen=True)
class Entry:
    """What the index says of one tensor; ``extra`` is appended to the message as it is."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int
    extra: bytes = b""

    def encode(self) -> bytes:
        """Make the BundleEntryProto."""
        shape = b"".join(message(2, number(1, size)) for size in self.shape)
        parts = [number(1, self.dtype), message(2, shape), number(3, self.shard)]
        parts += [number(4, self.offset), number(5, self.size)]
        parts += [varint(6 << 3 | 5), self.crc32c.to_bytes(4, "little"), self.extra]
        return b"".join(parts)


def block(entries: list[tuple[bytes, bytes]], kind: int = 0) -> bytes:
    """Make a block without shared prefixes, and its trailer."""
    body, restarts = b"", b""
    for key, value in entries:
        restarts += len(body).to_bytes(4, "little")
        body += varint(0) + varint(len(key)) + varint(len(value)) + key + value
    count = len(entries).to_bytes(4, "little")
    return seal(body + restarts + count, kind)


def seal(body: bytes, kind: int = 0) -> bytes:
    """Append a block's compression byte and checksum."""
    body += bytes([kind])
    return body + masked_crc32c(body).to_bytes(4, "little")


def table(data_block: bytes, ways: int = 1) -> bytes:
    """Make a table of one data block, to which the index points once or more often."""
    meta = block([])
    handle = varint(0) + varint(len(data_block) - 5)
    index = block([(way.to_bytes(4, "big"), handle) for way in range(ways)])
    footer = varint(len(data_block)) + varint(len(meta) - 5)
    footer += varint(len(data_block) + len(meta)) + varint(len(index) - 5)
    return data_block + meta + index + footer.ljust(40, b"\0") + MAGIC.to_bytes(8, "little")


def header(shards: int = 1, endianness: int = 0) -> bytes:
    """Make the BundleHeaderProto."""
    return number(1, shards) + number(2, endianness) + message(3, number(1, 1))


def place(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, Entry], bytes]:
    """Lay tensors one after another in shard 0, sorted by key as TensorFlow does."""
    entries, data = {}, b""
    for key in sorted(tensors):
        raw = tensors[key].tobytes()
        dtype = {"float32": FLOAT, "int64": INT64}[tensors[key].dtype.name]
        shape = tensors[key].shape
        entries[key] = Entry(dtype, shape, 0, len(data), len(raw), masked_crc32c(raw))
        data += raw
    return entries, data


def write_bundle(
    prefix: Path, tensors: Mapping[str, np.ndarray], changes: Mapping[str, dict] | None = None
) -> Path:
    """Write a one-shard checkpoint, with entries changed as given by key; returns the prefix."""
    entries, data = place(tensors)
    for key, change in (changes or {}).items():
        entries[key] = replace(entries[key], **change)
    write_index(prefix, header(), {key: entry.encode() for key, entry in entries.items()})
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return prefix


def write_index(prefix: Path, head: bytes, entries: Mapping[str, bytes], kind: int = 0) -> None:
    """Write an index of encoded entries."""
    rows = [(b"", head), *((key.encode(), entries[key]) for key in sorted(entries))]
    Path(f"{prefix}.index").write_bytes(table(block(rows, kind)))
