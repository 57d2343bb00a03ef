"""The forward pass against what the authors' program computed on the same weights and inputs."""

import zlib

import golden
import numpy as np
import pytest
import torch

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def expected():
    return golden.load("forward")


@pytest.fixture(scope="module")
def computed():
    """Every intermediate of one forward pass, by its golden name."""
    network, values = golden.make_network(), {}

    def record(module, name, *, entering=False):
        def hook(_, inputs, output):
            values[name] = inputs[0] if entering else output

        module.register_forward_hook(hook)

    for stream, encoder in (("face", network.face_encoder), ("context", network.context_encoder)):
        record(encoder, f"{stream}_map")
        for index, block in enumerate(encoder.blocks):
            record(block, f"{stream}_block{index}")
    record(network.attention.norm, "att_fc1", entering=True)
    record(network.attention.norm, "att_fc1_bn")
    record(network.attention.score, "att_logits")
    record(network.fusion.face, "w_f")
    record(network.fusion.context, "w_c")
    record(network.fusion, "w_fc")
    record(network.classifier, "fused", entering=True)
    record(network.classifier.dropout, "features", entering=True)
    record(network.classifier.dropout, "after_dropout")
    record(network.classifier, "logits")
    record(network, "output")
    with torch.inference_mode():
        network(*golden.make_inputs())
    return values


def close(actual, expected):
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=TOLERANCE)


def test_rule_makes_the_weights_that_the_authors_program_ran_on(expected):
    weights = golden.make_weights()
    checksums = {name: zlib.crc32(value.tobytes()) for name, value in weights.items()}
    recorded = dict(zip(expected["weight_names"], expected["weight_crc32"], strict=True))
    assert checksums == recorded


@pytest.mark.parametrize("stream", ["face", "context"])
def test_feature_maps(computed, expected, stream):
    close(computed[f"{stream}_map"].permute(0, 2, 3, 1), expected[f"{stream}_map"])


@pytest.mark.parametrize("block", range(5))
@pytest.mark.parametrize("stream", ["face", "context"])
def test_block_means(computed, expected, stream, block):
    name = f"{stream}_block{block}"
    close(computed[name].mean(dim=(2, 3)), expected[f"{name}_mean"])


def test_first_block_whole(computed, expected):
    close(computed["face_block0"][:1].permute(0, 2, 3, 1), expected["face_block0"])


@pytest.mark.parametrize("name", ["att_fc1", "att_fc1_bn", "att_logits"])
def test_attention_layers(computed, expected, name):
    close(computed[name].reshape(expected[name].shape), expected[name])


def test_attention_map(computed, expected):
    close(computed["output"].attention.reshape(4, 49, 1), expected["att_weights"])


def test_face_vector(computed, expected):
    close(computed["face_map"].mean(dim=(2, 3)), expected["face_vector"])


def test_context_vector(computed, expected):
    close(computed["fused"][:, 256:] / computed["w_fc"][:, 1:], expected["context_vector"])


@pytest.mark.parametrize("name", ["w_f", "w_c", "w_fc", "fused"])
def test_fusion(computed, expected, name):
    close(computed[name], expected[name])


@pytest.mark.parametrize("name", ["features", "after_dropout"])
def test_classifier_hidden_layer(computed, expected, name):
    close(computed[name].relu(), expected[name])


def test_answer(computed, expected):
    output = computed["output"]
    close(output.logits, expected["logits"])
    close(output.logits.softmax(1), expected["scores"])
    close(output.stream_weights, expected["w_fc"])


def test_zero_face_and_zero_context(expected):
    with torch.inference_mode():
        output = golden.make_network()(*golden.make_edge_inputs())
    close(output.logits, expected["edge_logits"])
    close(output.logits.softmax(1), expected["edge_scores"])
    close(output.attention.reshape(2, 49, 1), expected["edge_att_weights"])
    close(output.stream_weights, expected["edge_w_fc"])


def test_bgr_is_another_answer(expected):
    """The golden inputs must tell the colour orders apart, or they would not test the order."""
    faces, contexts = golden.make_inputs()
    with torch.inference_mode():
        scores = golden.make_network()(faces.flip(1), contexts.flip(1)).logits.softmax(1)
    assert np.abs(scores.numpy() - expected["scores"]).max() > 0.03
