"""Rounding a quantised network's weights so that the next makes up for what one loses.

Rounded to the nearest, the errors of a filter's weights add up wherever neighbouring pixels are
alike, which is everywhere in pictures, and shift whole feature maps. The rule here is GPTQ's
(Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
Transformers", 2022, section 3): round the weights one after another, and after each move those that
are left so that the filter's answers on the calibration pairs change least.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from glamor_cli.export.pairs import Pairs
from glamor_cli.runtimes.interface import INPUT_NAMES
from glamor_cli.system.onnx_library import load_onnxruntime
from glamor_cli.system.onnx_providers import CPU_PROVIDER

_BATCH = 16
_ROWS = 384
"""Filter positions taken from each batch: a few thousand in all suffice."""
_DAMPING = 0.01
"""Share of the mean squared input; it keeps directions that calibration never saw in bounds."""
_BLOCK = 64
"""Weights whose corrections are collected before the rest of the filter is touched."""


def round_weights(quantized: ModelProto, network: ModelProto, pairs: Pairs) -> None:
    """Choose a quantised graph's convolution weights anew, in place; scales stay as they are.

    Convolutions in groups stay rounded to the nearest: their filters do not see all channels.

    Args:
        quantized: What ONNX Runtime's ``quantize_static`` made of ``network``.
        network: The float32 graph.
        pairs: What to measure on.
    """
    codes = {tensor.name: tensor for tensor in quantized.graph.initializer}
    weights = {tensor.name: tensor for tensor in network.graph.initializer}
    nodes = {
        node.input[1]: node
        for node in network.graph.node
        if node.op_type == "Conv"
        and f"{node.input[1]}_quantized" in codes
        and _attributes(node).get("group", 1) == 1
    }
    moments = _second_moments(network, list(nodes.values()), pairs)
    for name in nodes:
        filters = numpy_helper.to_array(weights[name])  # (out, in, kh, kw)
        stored = codes[f"{name}_quantized"]
        nearest = numpy_helper.to_array(stored)
        scales = numpy_helper.to_array(codes[f"{name}_scale"])
        rounded = _round_filters(
            filters.reshape(len(filters), -1), scales, moments[name], int(np.abs(nearest).max())
        )
        stored.CopyFrom(
            numpy_helper.from_array(rounded.reshape(nearest.shape).astype(np.int8), stored.name)
        )


def _second_moments(network: ModelProto, nodes: list[NodeProto], pairs: Pairs) -> dict[str, Tensor]:
    """Sum x xᵀ over what each convolution's filters see: float64 (k, k), by the weights' name."""
    generator = torch.Generator().manual_seed(0)
    # Of the filters, because ONNX lets a node leave its kernel_shape to them.
    sizes = {tensor.name: tuple(tensor.dims[2:]) for tensor in network.graph.initializer}
    sums: dict[str, Tensor] = {}
    for inputs in _convolution_inputs(network, nodes, pairs):
        for node in nodes:
            seen = _unfold(inputs[node.input[0]], node, sizes[node.input[1]])  # (positions, k)
            chosen = torch.randperm(len(seen), generator=generator)[:_ROWS]
            rows = seen[chosen]
            moment = (rows.T @ rows).double()
            name = node.input[1]
            sums[name] = sums[name] + moment if name in sums else moment
    return sums


def _convolution_inputs(
    network: ModelProto, nodes: list[NodeProto], pairs: Pairs
) -> Iterator[dict[str, Tensor]]:
    """Run the float32 network, and hand out what goes into its convolutions, batch by batch."""
    onnxruntime = load_onnxruntime()
    open_graph = onnx.ModelProto()
    open_graph.CopyFrom(network)
    names = sorted({node.input[0] for node in nodes} - set(INPUT_NAMES))
    open_graph.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(open_graph.SerializeToString(), providers=[CPU_PROVIDER])
    for batch in pairs.batches(_BATCH):
        feeds = batch.feeds()
        found = feeds | dict(zip(names, session.run(names, feeds), strict=True))
        yield {name: torch.from_numpy(np.ascontiguousarray(found[name])) for name in found}


def _unfold(values: Tensor, node: NodeProto, size: tuple[int, ...]) -> Tensor:
    """Lay out what each filter position sees: (B, C, H, W) to (positions, C * kh * kw)."""
    attributes = _attributes(node)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    columns = F.unfold(
        F.pad(values, (left, right, top, bottom)),
        kernel_size=size,
        stride=tuple(attributes.get("strides", (1, 1))),
        dilation=tuple(attributes.get("dilations", (1, 1))),
    )
    return columns.transpose(1, 2).flatten(0, 1)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}


def _round_filters(
    filters: NDArray[np.float32], scales: NDArray[np.float32], moment: Tensor, limit: int
) -> NDArray[np.float64]:
    """Round (out, k) filters to whole multiples of their scales, at most ``limit`` of them."""
    left = torch.from_numpy(filters.astype(np.float64))
    scale = torch.from_numpy(scales.astype(np.float64)).reshape(-1).expand(len(left))
    count = left.shape[1]
    damping = _DAMPING * moment.diagonal().mean() + 1e-9
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(moment + damping * torch.eye(count)))
    # Row i of the upper factor says how the weights after i make up for i.
    factor = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.empty_like(left)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        errors = torch.empty(len(left), stop - start, dtype=left.dtype)
        for index in range(start, stop):
            column = left[:, index]
            codes[:, index] = (column / scale).round().clamp(-limit, limit)
            error = (column - codes[:, index] * scale) / factor[index, index]
            left[:, index:stop] -= error[:, None] * factor[index, index:stop]
            errors[:, index - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    return codes.numpy()
