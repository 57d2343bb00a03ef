"""Weights rounded together answer nearer to the float32 network than each to its nearest."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

from glamor_cli.export import rounding
from glamor_cli.export.pairs import Pairs, fill_contexts
from glamor_cli.export.rounding import round_weights

LIMIT = 7
"""Four bits, so that rounding is felt."""


@pytest.fixture(scope="module")
def smooth_pairs() -> Pairs:
    """Faces whose neighbouring pixels are alike, as in pictures."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((20, 3, 12, 12), generator=generator)
    face = F.interpolate(coarse, size=(96, 96), mode="bicubic", align_corners=False).clamp(0, 1)
    return Pairs(face.numpy(), np.zeros((20, 3, 112, 112), np.float32))


def two_convolutions(rng: np.random.Generator) -> onnx.ModelProto:
    """From the face through 3x3 filters, a ReLU and strided filters; the context is not used."""
    first = rng.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.2, (8, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["face", "first"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"], kernel_shape=[3, 3], strides=[2, 2]),
        helper.make_node("Identity", ["context"], ["d"]),
    ]
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, size, size])
        for name, size in (("face", 96), ("context", 112))
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "cd"]
    weights = [
        numpy_helper.from_array(first, "first"),
        numpy_helper.from_array(second, "second"),
    ]
    graph = helper.make_graph(nodes, "g", images, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def codes_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in model.graph.initializer
    }


def test_filters_answer_nearer_than_with_nearest_weights(smooth_pairs):
    network = two_convolutions(np.random.default_rng(0))
    weights = codes_of(network)
    # A scale for each filter, and one for all.
    scales = {
        "first": np.abs(weights["first"]).max(axis=(1, 2, 3)) / LIMIT,
        "second": np.abs(weights["second"]).max() / LIMIT,
    }
    quantized = onnx.ModelProto()
    for name, scale in scales.items():
        codes = np.round(weights[name] / np.reshape(scale, (-1, 1, 1, 1))).astype(np.int8)
        quantized.graph.initializer.extend(
            [
                numpy_helper.from_array(codes, f"{name}_quantized"),
                numpy_helper.from_array(np.float32(scale), f"{name}_scale"),
            ]
        )
    nearest = codes_of(quantized)
    round_weights(quantized, network, smooth_pairs)
    ours = codes_of(quantized)

    face = torch.from_numpy(smooth_pairs.face)
    inner = F.relu(F.conv2d(face, torch.from_numpy(weights["first"]), padding=1))
    for name, seen, stride in (("first", face, 1), ("second", inner, 2)):
        assert ours[f"{name}_scale"].tolist() == nearest[f"{name}_scale"].tolist()
        stored = next(t for t in quantized.graph.initializer if t.name == f"{name}_quantized")
        assert stored.data_type == TensorProto.INT8
        assert np.abs(ours[f"{name}_quantized"]).max() <= LIMIT

        def lost(codes, name=name, seen=seen, stride=stride):
            """Mean squared error of the answers; the filters are linear, so that of weights."""
            scale = np.reshape(scales[name], (-1, 1, 1, 1)).astype(np.float32)
            wrong = torch.from_numpy(codes[f"{name}_quantized"] * scale - weights[name])
            return float(F.conv2d(seen, wrong, stride=stride).square().mean())

        assert lost(ours) < 0.5 * lost(nearest), name


def test_convolutions_in_groups_stay_rounded_to_the_nearest(smooth_pairs):
    """As an encoder of separable convolutions has them; the others are rounded together still."""
    network = two_convolutions(np.random.default_rng(0))
    network.graph.node[0].attribute.append(helper.make_attribute("group", 3))
    rng = np.random.default_rng(1)
    for tensor, shape in zip(network.graph.initializer, ((9, 1, 3, 3), (8, 9, 3, 3)), strict=True):
        filters = rng.normal(0, 0.2, shape).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(filters, tensor.name))
    weights = codes_of(network)
    quantized = onnx.ModelProto()
    for name, values in weights.items():
        scale = np.float32(np.abs(values).max() / LIMIT)
        codes = np.round(values / scale).astype(np.int8)
        quantized.graph.initializer.extend(
            [
                numpy_helper.from_array(codes, f"{name}_quantized"),
                numpy_helper.from_array(scale, f"{name}_scale"),
            ]
        )
    nearest = codes_of(quantized)
    round_weights(quantized, network, smooth_pairs)
    ours = codes_of(quantized)
    assert (ours["first_quantized"] == nearest["first_quantized"]).all()
    assert (ours["second_quantized"] != nearest["second_quantized"]).any()


def test_long_filters_are_rounded_in_blocks_as_in_one(monkeypatch):
    """Those of the network's last convolutions have more weights than a block."""
    rng = np.random.default_rng(0)
    filters = rng.normal(0, 0.2, (4, 200)).astype(np.float32)
    scales = np.abs(filters).max(axis=1) / LIMIT
    seen = torch.from_numpy(rng.normal(size=(1000, 200)) @ rng.normal(size=(200, 200)))

    def rounded(block):
        monkeypatch.setattr(rounding, "_BLOCK", block)
        return rounding._round_filters(filters, scales, seen.T @ seen, LIMIT)

    whole = rounded(1000)
    assert (whole != np.round(filters / scales[:, None])).mean() > 0.1
    np.testing.assert_array_equal(rounded(64), whole)


def test_pairs_without_contexts_get_generated_ones_by_turns():
    faces, labels = np.ones((4, 3, 96, 96), np.float32), np.arange(4)
    filled = fill_contexts(Pairs(faces, np.zeros((4, 3, 112, 112), np.float32), labels))
    assert filled.context.any(axis=(1, 2, 3)).tolist() == [True, False, True, False]
    assert filled.context.dtype == np.float32
    assert 0 <= filled.context.min() < filled.context.max() <= 1
    assert filled.face is faces
    assert filled.labels is labels


def test_real_contexts_are_left_alone():
    context = np.zeros((4, 3, 112, 112), np.float32)
    context[3, 0, 0, 0] = 0.5
    pairs = Pairs(np.ones((4, 3, 96, 96), np.float32), context)
    assert fill_contexts(pairs) is pairs
