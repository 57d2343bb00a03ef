"""Reading protocol buffers' wire format, in which ONNX and TensorFlow keep what they describe.

A message is a run of fields, each of a number and a value; some values are messages again. Every
length is checked before it is used.
"""

from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The kinds of fields that are in use."""
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: What it is, by the message's definition.
        whole: All its bytes.
        value: A number, or the bytes of a text or of a message.
    """

    number: int
    whole: memoryview
    value: int | memoryview

    def integer(self) -> int:
        """Give its number.

        Raises:
            ValueError: It holds bytes.
        """
        if isinstance(self.value, memoryview):
            raise ValueError("a field that should be a number is not")  # noqa: TRY004
        return self.value

    def message(self) -> memoryview:
        """Give its bytes.

        Raises:
            ValueError: It holds a number.
        """
        if isinstance(self.value, int):
            raise ValueError("a field that should be a message is not")  # noqa: TRY004
        return self.value


def read_fields(message: memoryview) -> Iterator[Field]:
    """Take a message apart.

    Raises:
        ValueError: It is no message, or ends early.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = read_varint(message, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = read_varint(message, position)
            yield Field(tag >> 3, message[start:position], value)
            continue
        if kind == BYTES:
            length, position = read_varint(message, position)
        elif kind in _FIXED_SIZES:
            length = _FIXED_SIZES[kind]
        else:
            raise ValueError(f"it has a field of unknown kind {kind}")
        raw = message[position : position + length]
        if len(raw) != length:
            raise ValueError("it ends inside a field")
        position += length
        fixed = raw if kind == BYTES else int.from_bytes(raw, "little")
        yield Field(tag >> 3, message[start:position], fixed)


def read_varint(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned number of 7 bits a byte.

    Returns:
        The number, less than 2**64, and the position after it.

    Raises:
        ValueError: The data end inside it, or it is too long.
    """
    result = 0
    for shift in range(0, 64, 7):
        if position >= len(data):
            raise ValueError("it ends inside a number")
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, position
    raise ValueError("a number in it is too long")
