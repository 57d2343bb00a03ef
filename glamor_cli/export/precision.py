"""Smaller numbers in a finished graph: float16 storage, and static INT8."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glamor_cli.export.config import Int8Form
from glamor_cli.export.pairs import Pairs
from glamor_cli.runtimes.onnx import INPUT_NAMES

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
    """Quantise the convolutions statically, with ranges measured on real pairs.

    Args:
        model: A float32 graph of opset 20 or lower.
        pairs: What to measure the activations' ranges on.
        form: For which engine.

    Returns:
        A graph of quantise/dequantise pairs around the convolutions.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    tensorrt = form is Int8Form.TENSORRT
    with tempfile.TemporaryDirectory(prefix="glamor-int8-") as folder:
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in "abc")
        onnx.save(model, source)
        # The symbolic half of the preparation needs sympy and finds nothing in this graph.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            target,
            _reader(pairs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
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
            },
        )
        quantized: onnx.ModelProto = onnx.load(target)
    return quantized


def _reader(pairs: Pairs) -> object:
    """Make the reader that ONNX Runtime's calibration asks for batches."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out the pairs in small batches, because calibration keeps every activation."""

        def __init__(self) -> None:
            self._batches = self._cut()

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self._batches, None)

        def _cut(self) -> Iterator[dict[str, NDArray[np.float32]]]:
            for start in range(0, len(pairs.face), _CALIBRATION_BATCH):
                piece = slice(start, start + _CALIBRATION_BATCH)
                yield dict(zip(INPUT_NAMES, (pairs.face[piece], pairs.context[piece]), strict=True))

    return Reader()
