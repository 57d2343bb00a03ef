"""Smaller numbers in a finished graph: float16 storage, and static INT8."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glamor_cli.export.options import Int8Form
from glamor_cli.export.pairs import Pairs
from glamor_cli.export.rounding import round_weights
from glamor_cli.runtimes.interface import INPUT_NAMES

_CALIBRATION_BATCH = 16
_LARGEST_HALF = float(np.finfo(np.float16).max)


def store_half(model: onnx.ModelProto) -> None:
    """Keep float32 initialisers as float16, each followed by a cast to float32.

    ONNX Runtime folds the casts when it loads, so speed and memory are those of float32. A tensor
    that float16 cannot hold stays as it is.
    """
    casts = []
    kept = list(model.graph.initializer)
    del model.graph.initializer[:]
    for tensor in kept:
        values = numpy_helper.to_array(tensor)
        fits = (
            tensor.data_type == TensorProto.FLOAT
            and values.size > 1
            and float(np.abs(values).max()) < _LARGEST_HALF
        )
        if fits:
            stored = f"{tensor.name}.half"
            casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
            tensor = numpy_helper.from_array(values.astype(np.float16), stored)  # noqa: PLW2901
        model.graph.initializer.append(tensor)
    # Nodes must be in topological order: the casts feed all others.
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def quantize(model: onnx.ModelProto, pairs: Pairs, form: Int8Form) -> onnx.ModelProto:
    """Quantise the encoders statically, with ranges measured on real pairs.

    Attention, fusion and classifier stay in float32: they take a hundredth of the time.

    Args:
        model: A float32 graph of opset 20 or lower.
        pairs: What to measure the activations' ranges on, and to round the weights by.
        form: For which engine.

    Returns:
        A graph of quantise/dequantise pairs around the convolutions.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    tensorrt = form is Int8Form.TENSORRT
    with tempfile.TemporaryDirectory(prefix="glamor-int8-") as folder:
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in "abc")
        onnx.save(_pool_last(model), source)
        # The symbolic half of the preparation needs sympy and finds nothing in this graph.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        network = onnx.load(prepared)
        quantize_static(
            prepared,
            target,
            _reader(pairs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"] if tensorrt else ["Conv", "Relu", "MaxPool"],
            nodes_to_quantize=_encoder_nodes(network, images=not tensorrt),
            per_channel=True,
            # Without VNNI instructions a CPU adds pairs of 8-bit products in 16 bits, and they
            # overflow: measured, a third of the answers changed. Weights of 7 bits never do.
            reduce_range=not tensorrt,
            activation_type=QuantType.QInt8 if tensorrt else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "ActivationSymmetric": tensorrt,
                "WeightSymmetric": True,
                "QuantizeBias": not tensorrt,
                # TensorRT fuses a convolution with what follows, and wants inputs quantised only.
                "OpTypesToExcludeOutputQuantization": ["Conv"] if tensorrt else [],
            },
        )
        quantized: onnx.ModelProto = onnx.load(target)
    round_weights(quantized, network, pairs)
    return quantized


def _pool_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put each ReLU before the pooling that it follows; max(relu(x)) == relu(max(x)).

    In float the other order is faster. In 8 bits a ReLU right after a convolution costs nothing,
    because unsigned numbers begin at zero, and none of their 256 steps is lost on what it cuts off.
    """
    swapped = onnx.ModelProto()
    swapped.CopyFrom(model)
    makers = {name: node for node in swapped.graph.node for name in node.output}
    for node in swapped.graph.node:
        before = makers.get(node.input[0]) if node.input else None
        if node.op_type == "Relu" and before is not None and before.op_type == "MaxPool":
            node.op_type, before.op_type = "MaxPool", "Relu"
            node.attribute.extend(before.attribute)
            del before.attribute[:]
    # The tensor between the two has another size now.
    del swapped.graph.value_info[:]
    return swapped


def _encoder_nodes(model: onnx.ModelProto, *, images: bool) -> list[str]:
    """Name the convolutions, and the ReLUs and poolings that directly follow them.

    Args:
        model: The float32 graph.
        images: With the two convolutions that see the images themselves. Signed numbers spend half
            their range on negative pixels, of which there are none: measured, leaving those two in
            float halves the answers that change.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    chosen: dict[str, str] = {}
    for node in model.graph.node:
        before = makers.get(node.input[0]) if node.input else None
        follows = before is not None and before.name in chosen
        is_wanted = node.op_type == "Conv" and (images or node.input[0] not in INPUT_NAMES)
        if is_wanted or (node.op_type in ("Relu", "MaxPool") and follows):
            chosen[node.name] = node.op_type
    return list(chosen)


def _reader(pairs: Pairs) -> object:
    """Make the reader that ONNX Runtime's calibration asks for batches."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out the pairs in small batches, because calibration keeps every activation."""

        def __init__(self) -> None:
            self._batches = pairs.batches(_CALIBRATION_BATCH)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self._batches, None)
            return None if batch is None else batch.feeds()

    return Reader()
