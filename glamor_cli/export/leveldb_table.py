"""Reading leveldb's table format, in which TensorFlow keeps the index of a checkpoint.

A table is a run of blocks, each followed by one byte for its compression and a masked CRC32C. A
footer points to the index block, whose values point to the data blocks. Within a block, a key
shares its beginning with the one before it. Every offset and length is checked before it is used.
"""

from collections.abc import Iterator

import google_crc32c

from glamor_cli.files.protobuf_wire import read_varint

MAX_KEY_BYTES = 512
"""Longer keys are refused: prefix sharing would let a small file ask for much memory."""

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
_MASK_DELTA = 0xA282EAD8


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Read all entries of a table.

    Raises:
        ValueError: The table is damaged, compressed, or not a table.
    """
    if len(data) < _FOOTER_BYTES or data[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("it does not end as a table does")
    footer = data[-_FOOTER_BYTES:]
    position = 0
    for _ in range(2):  # the metaindex block, which TensorFlow leaves empty
        _, position = read_varint(footer, position)
    index = _read_block(data, footer[position:])
    entries: dict[bytes, bytes] = {}
    last: bytes | None = None
    read = 0
    for _, handle in _block_entries(index):
        # Blocks stand in their order; an index with many ways to one block would take for ever.
        offset, position = read_varint(handle, 0)
        if offset < read:
            raise ValueError("its blocks are not in order")
        read = offset + read_varint(handle, position)[0] + _TRAILER_BYTES
        for key, value in _block_entries(_read_block(data, handle)):
            if last is not None and key <= last:
                raise ValueError("its keys are not in order")
            entries[key] = value
            last = key
    return entries


def masked_crc32c(data: bytes) -> int:
    """Compute the CRC32C of some bytes as leveldb and TensorFlow store it."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _read_block(data: bytes, handle: bytes) -> bytes:
    """Read the block that a handle points to, and verify its checksum."""
    offset, position = read_varint(handle, 0)
    size, _ = read_varint(handle, position)
    end = offset + size
    if end + _TRAILER_BYTES > len(data) - _FOOTER_BYTES:
        raise ValueError("a block lies outside of it")
    stored = int.from_bytes(data[end + 1 : end + _TRAILER_BYTES], "little")
    if masked_crc32c(data[offset : end + 1]) != stored:
        raise ValueError("the checksum of a block does not match")
    if data[end] != 0:
        raise ValueError("it is compressed, which TensorFlow's checkpoints are not")
    return data[offset:end]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Walk through a block's keys and values."""
    if len(block) < 4:
        raise ValueError("a block is too short")
    # The block ends with the places where prefix sharing starts anew, and their number.
    end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
    if end < 0:
        raise ValueError("a block is too short")
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(block, position)
        own, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or shared + own > MAX_KEY_BYTES or position + own + length > end:
            raise ValueError("a key or value does not fit its block")
        key = key[:shared] + block[position : position + own]
        position += own + length
        yield key, block[position - length : position]
