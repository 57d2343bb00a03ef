"""One ONNX graph from a photograph and boxes to answers, for programs that have no glamor.

What differs between an exported network and its users is nearly always the preprocessing. So this
graph carries it: `glamor_cli.vision.pairs` in ONNX operators, for all boxes of an image at once,
in front of any exported network (float32, float16 or INT8).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from glamor_cli.errors import ExportError
from glamor_cli.files.atomic import atomic_path
from glamor_cli.runtimes.exported import identify, load_model, require_network
from glamor_cli.runtimes.interface import BOXES, IMAGE, OUTPUT_NAMES
from glamor_cli.system.onnx_providers import CPU_PROVIDER
from glamor_cli.system.onnx_sessions import session_options, start_session
from glamor_cli.vision.pairs import (
    CONTEXT_SHAPE,
    EVALUATION_COLUMNS,
    EVALUATION_ROWS,
    FACE_SHAPE,
    make_pair,
    round_box,
)

INPUTS_KEY = "glamor_inputs"
"""The key of ``metadata_props`` under which the graph says what its inputs are."""
TOLERANCE = 1e-4
"""How far the graph may be from our own pipeline before the network it was given."""

_INPUTS = {
    IMAGE: "uint8 [H, W, 3], RGB, any size",
    BOXES: "float32 [N, 4], x1, y1, x2, y2 in pixels in the authors' square framing of the face; "
    "0, 0, 0, 0 means no face, and so does what clipping to the image makes these: a box beyond "
    "its upper left corner; any other box with nothing inside the image answers NaN",
}
_PREFIX = "pre/"


def add_preprocessing(source: Path, out: Path, *, threads: int | None = None) -> float:
    """Put the preprocessing in front of an exported network, and check the values.

    Args:
        source: An ``.onnx`` file from ``glamor export``.
        out: The file to write, atomically. It may be ``source``.
        threads: CPU threads for the check; None for one for each core.

    Returns:
        The largest absolute difference to our own pipeline that the check saw: of the sampled
        pairs, and of the answers to them. The answers to our own pairs are not compared, because
        where 8 bits round, the last digit of a pixel may decide.

    Raises:
        CheckpointError: The file is damaged, or not a network that glamor exported.
        ExportError: Its batch is fixed, or the graph's values differ.
        ConfigError: The file cannot be written, or the number of threads is not positive.
    """
    network = load_model(source)
    identify(network, source)
    merged, pairs = _merge(network)
    with atomic_path(out) as temporary:
        onnx.save(merged, temporary)
        return _verify(network, merged, pairs, temporary, threads)


def with_preprocessing(network: ModelProto) -> ModelProto:
    """Build the graph ``image, boxes -> probabilities, attention, stream_weights``.

    A box is rounded (half to even), clipped, and cut, masked and sampled as `vision.pairs` does.
    A box that clips to the four zeros of ``NO_FACE``, as one beyond the upper left corner does,
    gives a zero face. Where our pipeline would raise, because any other box has nothing inside the
    image or is not finite, its answers are NaN.

    Args:
        network: An exported network: ``face`` and ``context`` in, batch dynamic.

    Raises:
        CheckpointError: The network has other inputs or outputs.
        ExportError: Its batch is fixed.
    """
    return _merge(network)[0]


def _merge(network: ModelProto) -> "tuple[ModelProto, _Pairs]":
    """Build the graph, and say what the sampled pairs are called in it."""
    _require_pairs(network)
    graph = _Graph()
    pairs = _sample_pairs(graph)
    inner = onnx.compose.add_prefix_graph(network.graph, "network/")
    renamed = {"network/face": pairs.face, "network/context": pairs.context}
    for node in inner.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    graph.nodes.extend(inner.node)
    for name in OUTPUT_NAMES:
        _answer(graph, f"network/{name}", name, pairs)
    outputs = [_dynamic_copy(value) for value in network.graph.output if value.name in OUTPUT_NAMES]
    whole = helper.make_graph(
        graph.nodes,
        "glamor_with_preprocessing",
        [
            helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, ["height", "width", 3]),
            helper.make_tensor_value_info(BOXES, TensorProto.FLOAT, ["boxes", 4]),
        ],
        outputs,
        initializer=[*graph.constants.values(), *inner.initializer],
    )
    merged = helper.make_model(
        whole,
        opset_imports=list(network.opset_import),
        ir_version=network.ir_version,
        functions=list(network.functions),
        producer_name="glamor",
    )
    merged.metadata_props.extend(network.metadata_props)
    merged.metadata_props.add(key=INPUTS_KEY, value=json.dumps(_INPUTS))
    try:
        onnx.checker.check_model(merged, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"the graph with preprocessing is not valid ONNX ({error})",
            "Export with the default --opset.",
        ) from error
    return merged, pairs


class _Graph:
    """Collects nodes: ``graph("Add", a, b)`` adds one and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], TensorProto] = {}

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{_PREFIX}{len(self.nodes)}_{operator}"
        self.nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Name a constant; equal ones are kept once."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self.constants:
            name = f"{_PREFIX}constant_{len(self.constants)}"
            self.constants[key] = numpy_helper.from_array(values, name)
        return self.constants[key].name

    def real(self, value: float) -> str:
        """Name a float32 constant."""
        return self.constant(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        """Name an int64 vector: a shape, or axes."""
        return self.constant(np.array(values, np.int64))

    def cast(self, value: str, to: int) -> str:
        """Change a tensor's type."""
        return self("Cast", value, to=to)


@dataclass(frozen=True)
class _Pairs:
    """Names of what the sampling yields; M is N, or 1 where N is 0."""

    face: str
    """float32 [M, 3, 96, 96]"""
    context: str
    """float32 [M, 3, 112, 112]"""
    usable: str
    """bool [M]: whether the box means something."""
    count: str
    """int64 [1]: N."""


@dataclass(frozen=True)
class _Taps:
    """Names, along one axis: two source positions per output position, and the second's share."""

    first: str
    second: str
    share: str


def _sample_pairs(graph: _Graph) -> _Pairs:
    """Turn ``image`` and ``boxes`` into pairs."""
    height = graph("Shape", IMAGE, start=0, end=1)  # [1]
    width = graph("Shape", IMAGE, start=1, end=2)  # [1]
    count = graph("Shape", BOXES, start=0, end=1)  # [1]
    # Engines disagree on empty batches, so without boxes one stands in, whose answer is cut off.
    missing = graph("Max", graph("Sub", graph.integers(1), count), graph.integers(0))
    stand_in = graph("Expand", graph.real(0), graph("Concat", missing, graph.integers(4), axis=0))
    rounded = graph("Round", graph("Concat", BOXES, stand_in, axis=0))  # [M, 4], half to even

    real_height = graph.cast(height, TensorProto.FLOAT)
    real_width = graph.cast(width, TensorProto.FLOAT)
    x1, y1, x2, y2 = (
        _clip(graph, graph("Gather", rounded, graph.integers(side), axis=1), limit)  # [M, 1]
        for side, limit in enumerate((real_width, real_height, real_width, real_height))
    )
    finite = _finite(graph, rounded)  # [M, 1]
    has_area = graph("And", graph("Less", x1, x2), graph("Less", y1, y2))  # [M, 1]
    has_area = graph("And", has_area, finite)
    zero = graph.real(0)
    no_face = finite
    for side in (x1, y1, x2, y2):
        no_face = graph("And", no_face, graph("Equal", side, zero))
    left, top, right, bottom = (graph("Where", has_area, side, zero) for side in (x1, y1, x2, y2))

    face = _sample_faces(graph, (left, top, right, bottom), has_area)
    context = _sample_contexts(graph, (left, top, right, bottom), height, width)
    usable = graph("Reshape", graph("Or", has_area, no_face), graph.integers(-1))
    return _Pairs(face, context, usable, count)


def _finite(graph: _Graph, boxes: str) -> str:
    """Whether all four sides are finite: float32 [M, 4] to bool [M, 1]."""
    broken = graph("Or", graph("IsNaN", boxes), graph("IsInf", boxes))
    whole = [graph("Gather", broken, graph.integers(side), axis=1) for side in range(4)]
    either = graph("Or", graph("Or", whole[0], whole[1]), graph("Or", whole[2], whole[3]))
    return graph("Not", either)


def _clip(graph: _Graph, side: str, limit: str) -> str:
    return graph("Min", graph("Max", side, graph.real(0)), limit)


def _sample_faces(graph: _Graph, box: tuple[str, str, str, str], has_area: str) -> str:
    """Sample all boxes: float32 [M, 3, 96, 96], zero where a box has no area."""
    left, top, right, bottom = box
    rows = _taps(graph, graph("Sub", bottom, top), FACE_SHAPE[0], slice(None))  # [M, 96] each
    columns = _taps(graph, graph("Sub", right, left), FACE_SHAPE[1], slice(None))
    rows = _shift(graph, rows, top)
    columns = _shift(graph, columns, left)
    face = graph("Div", _blend(graph, rows, columns, None), graph.real(255))
    return graph("Where", _reshape(graph, has_area, -1, 1, 1, 1), face, graph.real(0))


def _sample_contexts(graph: _Graph, box: tuple[str, str, str, str], height: str, width: str) -> str:
    """Sample the image once and mask it for every box: float32 [M, 3, 112, 112]."""
    size = (graph.cast(height, TensorProto.FLOAT), graph.cast(width, TensorProto.FLOAT))
    rows = _taps(graph, size[0], CONTEXT_SHAPE[0], EVALUATION_ROWS)  # [1, 112] each
    columns = _taps(graph, size[1], CONTEXT_SHAPE[1], EVALUATION_COLUMNS)
    return _blend(graph, rows, columns, box)


def _taps(graph: _Graph, source: str, target: int, keep: slice) -> _Taps:
    """Half-pixel centres without antialiasing, for a source size [M, 1] per box: [M, target]."""
    scale = graph("Div", source, graph.real(target))
    centres = np.arange(target, dtype=np.float32)[None, keep] + np.float32(0.5)
    position = graph("Sub", graph("Mul", graph.constant(centres), scale), graph.real(0.5))
    floor = graph("Floor", position)
    last = graph("Sub", source, graph.real(1))
    second = graph("Min", graph("Ceil", position), last)
    # A box without area has no last pixel either.
    return _Taps(
        graph("Max", floor, graph.real(0)),
        graph("Max", second, graph.real(0)),
        graph("Sub", position, floor),
    )


def _shift(graph: _Graph, taps: _Taps, start: str) -> _Taps:
    """From positions inside a box to positions inside the image."""
    return _Taps(graph("Add", taps.first, start), graph("Add", taps.second, start), taps.share)


def _blend(
    graph: _Graph, rows: _Taps, columns: _Taps, mask: tuple[str, str, str, str] | None
) -> str:
    """Gather four pixels per output position, zero the masked ones, and blend: [M, 3, h, w].

    As in `vision.pairs`, a context (which has a mask) is scaled before blending, a face after.
    """
    pixels = graph("Reshape", IMAGE, graph.integers(-1, 3))  # [H * W, 3]
    width = graph("Shape", IMAGE, start=1, end=2)

    def gather(row: str, column: str) -> str:
        down = _reshape(graph, graph.cast(row, TensorProto.INT64), 0, -1, 1)
        across = _reshape(graph, graph.cast(column, TensorProto.INT64), 0, 1, -1)
        place = graph("Add", graph("Mul", down, width), across)  # [M, h, w]
        values = graph.cast(graph("Gather", pixels, place, axis=0), TensorProto.FLOAT)
        if mask is None:
            return values
        values = graph("Mul", values, graph.constant(np.array(1 / np.float32(255))))
        left, top, right, bottom = mask
        in_rows = _reshape(graph, _between(graph, row, top, bottom), 0, -1, 1, 1)
        in_columns = _reshape(graph, _between(graph, column, left, right), 0, 1, -1, 1)
        return graph("Where", graph("And", in_rows, in_columns), graph.real(0), values)

    def mix(first: str, second: str, share: str) -> str:
        return graph("Add", first, graph("Mul", graph("Sub", second, first), share))

    across = _reshape(graph, columns.share, 0, 1, -1, 1)
    down = _reshape(graph, rows.share, 0, -1, 1, 1)
    upper = mix(gather(rows.first, columns.first), gather(rows.first, columns.second), across)
    lower = mix(gather(rows.second, columns.first), gather(rows.second, columns.second), across)
    blended = mix(upper, lower, down)  # [M, h, w, 3]
    return graph("Transpose", blended, perm=[0, 3, 1, 2])


def _between(graph: _Graph, position: str, start: str, stop: str) -> str:
    """Whether start <= position < stop: [M, 1] against [1 or M, n] to bool [M, n]."""
    before = graph("Less", position, start)
    return graph("And", graph("Not", before), graph("Less", position, stop))


def _reshape(graph: _Graph, value: str, *shape: int) -> str:
    return graph("Reshape", value, graph.integers(*shape))


def _answer(graph: _Graph, source: str, name: str, pairs: _Pairs) -> None:
    """Give the network's output for the N boxes, NaN where the box means nothing."""
    rank = 3 if name == "attention" else 2
    usable = _reshape(graph, pairs.usable, -1, *[1] * (rank - 1))
    told = graph("Where", usable, source, graph.real(float("nan")))
    cut = ("Slice", told, graph.integers(0), pairs.count, graph.integers(0))
    graph.nodes.append(helper.make_node(cut[0], cut[1:], [name], f"{_PREFIX}{name}"))


def _dynamic_copy(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """Describe an output over boxes instead of a batch."""
    described = onnx.ValueInfoProto()
    described.CopyFrom(value)
    described.type.tensor_type.shape.dim[0].dim_param = "boxes"
    return described


def _require_pairs(network: ModelProto) -> None:
    """Check that the network answers pairs, and any number of them."""
    inputs = network.graph.input
    require_network(
        (value.name for value in inputs),
        (value.name for value in network.graph.output),
        "the graph",
    )
    for value in inputs:
        if not value.type.tensor_type.shape.dim[0].dim_param:
            raise ExportError(
                f"the batch of {value.name} is fixed", "Export the network with glamor export."
            )


def _verify(
    network: ModelProto, merged: ModelProto, sampled: _Pairs, path: Path, threads: int | None
) -> float:
    """Compare the merged graph with our pipeline and the network; raise if they differ."""
    probe = ModelProto()
    probe.CopyFrom(merged)
    names = (sampled.face, sampled.context)
    probe.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    whole, sampler, alone = (
        start_session(model, session_options(threads), [CPU_PROVIDER])
        for model in (path, probe.SerializeToString(), network.SerializeToString())
    )
    image = np.random.default_rng(0).integers(0, 256, (237, 410, 3)).astype(np.uint8)
    # Halves to round, a box over each edge, no face, one smaller and one larger than a face.
    boxes = np.array(
        [
            [60.5, 41.5, 171.5, 150.5],
            [-30, -20, 80, 77],
            [350, 190, 470, 300],
            [0, 0, 0, 0],
            [200, 100, 231, 133],
            [0, 0, 410, 237],
        ],
        np.float32,
    )
    pairs = [make_pair(image, round_box(box)) for box in boxes]
    ours = (np.stack([pair.face for pair in pairs]), np.stack([pair.context for pair in pairs]))
    feeds = {IMAGE: image, BOXES: boxes}
    face, context = sampler.run(names, feeds)
    expected = [*ours, *alone.run(OUTPUT_NAMES, {"face": face, "context": context})]
    found = [face, context, *whole.run(OUTPUT_NAMES, feeds)]
    # Unlike max, np.max keeps NaN.
    difference = float(
        np.max([np.abs(mine - theirs).max() for mine, theirs in zip(found, expected, strict=True)])
    )
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the graph with preprocessing differs from our pipeline by {difference:.2g} "
            f"(allowed: {TOLERANCE:g})",
            "Update onnxruntime and onnx; if that does not help, report it.",
        )
    return difference
