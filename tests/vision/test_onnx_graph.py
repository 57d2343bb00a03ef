"""Cleaning a real network's file, judged by the package ``onnx``."""

import numpy as np
import onnx
import onnxruntime
import pytest

from glamor_cli.vision.centerface import find_network
from glamor_cli.vision.onnx_graph import clean_graph

INPUTS = {"input.1": ("batch", 3, 640, "columns")}
OUTPUTS = {"537": ("batch", 1, "h", "w"), "539": (300, 2, "h", "w")}


@pytest.fixture(scope="module")
def original():
    return find_network().read_bytes()


@pytest.fixture(scope="module")
def cleaned(original):
    return clean_graph(original, INPUTS, OUTPUTS)


def shapes(values):
    return {
        value.name: tuple(
            size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim
        )
        for value in values
    }


def test_inputs_and_outputs_are_those_asked_for(cleaned):
    graph = onnx.load_from_string(cleaned).graph
    assert shapes(graph.input) == INPUTS
    assert shapes(graph.output) == OUTPUTS


def test_all_else_is_as_it_was(original, cleaned):
    before, after = onnx.load_from_string(original), onnx.load_from_string(cleaned)
    for model in (before, after):
        del model.graph.input[:]
        del model.graph.output[:]
    assert before == after


def test_the_answers_are_the_same(original, cleaned):
    pixels = np.random.default_rng(0).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)
    sessions = [
        onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        for model in (original, clean_graph(original, {"input.1": (10, 3, 32, 32)}, OUTPUTS))
    ]
    theirs, ours = (session.run(["537", "539"], {"input.1": pixels}) for session in sessions)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [({"image": (1,)}, OUTPUTS), ({}, OUTPUTS), (INPUTS, {"heat": (1,)})],
)
def test_another_network_is_refused(original, inputs, outputs):
    with pytest.raises(ValueError, match="does not lead"):
        clean_graph(original, inputs, outputs)


@pytest.mark.parametrize("length", [5, 1000, 100_000, -1])
def test_a_file_cut_short_is_refused(original, length):
    with pytest.raises(ValueError, match="ends inside"):
        clean_graph(original[:length], INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"not a network", "unknown kind 6"),
        (b"\xff" * 40, "too long"),
        (b"<html>\n", "unknown kind 4"),
        (b"\x38\x01", "should be a message"),
    ],
)
def test_what_is_no_network_is_refused(text, match):
    with pytest.raises(ValueError, match=match):
        clean_graph(text, INPUTS, OUTPUTS)
