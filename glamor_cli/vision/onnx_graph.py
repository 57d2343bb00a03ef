"""Cleaning an ONNX file's graph without the package ``onnx``, whose import takes a second.

An ONNX file is a protocol buffer (``protobuf_wire``). Only the graph's inputs and outputs are
rewritten; all else is passed on byte for byte. Field numbers are those of ``onnx.proto``.
"""

from collections.abc import Mapping

from glamor_cli.files.protobuf_wire import BYTES, VARINT, read_fields

_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_INITIALIZER_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 2
_SHAPE_DIMENSION = 1
_DIMENSION_VALUE, _DIMENSION_NAME = 1, 2
_FLOAT = 1

Shape = tuple[int | str, ...]
"""A size, or the name of one that is left open."""


def clean_graph(model: bytes, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
    """Give a graph other input shapes and fewer outputs, and close its weights.

    Weights that old files list as inputs, too, could be overridden at any run, so that an engine
    neither folds nor packs them. They cease to be inputs.

    Args:
        model: The file, its weights inside.
        inputs: The float32 inputs to keep, and their shapes.
        outputs: The float32 outputs to keep, and their shapes.

    Returns:
        The cleaned file.

    Raises:
        ValueError: It is not an ONNX file, or lacks an input or output.
    """
    parts: list[bytes | memoryview] = []
    for field in read_fields(memoryview(model)):
        if field.number == _MODEL_GRAPH:
            parts.append(_message(_MODEL_GRAPH, _clean(field.message(), inputs, outputs)))
        else:
            parts.append(field.whole)
    return b"".join(parts)


def _clean(graph: memoryview, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> bytes:
    wanted = {_GRAPH_INPUT: inputs, _GRAPH_OUTPUT: outputs}
    seen: dict[int, set[str]] = {_GRAPH_INPUT: set(), _GRAPH_OUTPUT: set()}
    weights = set()
    parts: list[bytes | memoryview] = []
    for field in read_fields(graph):
        if field.number in wanted:
            seen[field.number].add(_name(field.message(), _VALUE_NAME))
            continue
        if field.number == _GRAPH_INITIALIZER:
            weights.add(_name(field.message(), _INITIALIZER_NAME))
        parts.append(field.whole)
    if seen[_GRAPH_INPUT] - weights != set(inputs) or not set(outputs) <= seen[_GRAPH_OUTPUT]:
        raise ValueError(f"the graph does not lead from {list(inputs)} to {list(outputs)}")
    for number, values in wanted.items():
        parts += [_message(number, _value(name, shape)) for name, shape in values.items()]
    return b"".join(parts)


def _name(message: memoryview, number: int) -> str:
    names = (field.message() for field in read_fields(message) if field.number == number)
    return bytes(next(names, b"")).decode()


def _value(name: str, shape: Shape) -> bytes:
    """Describe a float32 input or output."""
    dimensions = b"".join(
        _message(
            _SHAPE_DIMENSION,
            _message(_DIMENSION_NAME, size.encode())
            if isinstance(size, str)
            else _number(_DIMENSION_VALUE, size),
        )
        for size in shape
    )
    tensor = _number(_TENSOR_ELEMENT, _FLOAT) + _message(_TENSOR_SHAPE, dimensions)
    return _message(_VALUE_NAME, name.encode()) + _message(
        _VALUE_TYPE, _message(_TYPE_TENSOR, tensor)
    )


def _message(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    """Write seven bits a byte, the lowest first; the highest bit says that more follow."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
