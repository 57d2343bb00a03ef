"""Asking about the mirror image too: what left and right may change, and what not."""

import numpy as np
import pytest
import torch
from lively import inputs

from glamor_cli.network.config import Encoder, NetworkConfig
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import max_abs_diff
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


@pytest.fixture(scope="module")
def runtime():
    return open_runtime(DEFAULT_WEIGHTS, device="cpu", threads=1)


@pytest.fixture(scope="module")
def pairs():
    return inputs(3)


def test_the_answer_is_the_mean_of_both_looks(runtime, pairs):
    seen = runtime(*pairs)
    turned = runtime(*(values[..., ::-1].copy() for values in pairs))
    both = MirroredRuntime(runtime)(*pairs)
    np.testing.assert_allclose(
        both.probabilities, (seen.probabilities + turned.probabilities) / 2, atol=1e-6
    )
    np.testing.assert_allclose(
        both.attention, (seen.attention + turned.attention[..., ::-1]) / 2, atol=1e-6
    )
    np.testing.assert_allclose(both.attention.sum((1, 2)), 1, atol=1e-5)


def test_left_and_right_make_no_difference_any_more(runtime, pairs):
    both = MirroredRuntime(runtime)
    mirrored = tuple(values[..., ::-1].copy() for values in pairs)
    answer, other = both(*pairs), both(*mirrored)
    np.testing.assert_allclose(answer.probabilities, other.probabilities, atol=1e-6)
    np.testing.assert_allclose(answer.stream_weights, other.stream_weights, atol=1e-6)
    np.testing.assert_allclose(answer.attention, other.attention[..., ::-1], atol=1e-6)
    assert max_abs_diff(runtime(*pairs), runtime(*mirrored)) > 1e-3


def test_attention_stays_where_mirrored_cells_would_lie_elsewhere(pairs, tmp_path):
    """ResNet-18's cells are half a cell further left than right; turned, they move 15 pixels."""
    torch.manual_seed(0)
    network = GlamorNet(NetworkConfig(encoder=Encoder.RESNET18)).eval()
    save_network(tmp_path / "r.safetensors", network, Metadata("r", network=network.config))
    runtime = open_runtime(tmp_path / "r.safetensors", device="cpu", threads=1)
    seen = runtime(*pairs)
    turned = runtime(*(values[..., ::-1].copy() for values in pairs))
    both = MirroredRuntime(runtime)(*pairs)
    assert both.attention.shape[1:] == (4, 4)
    np.testing.assert_array_equal(both.attention, seen.attention)
    assert np.abs(turned.attention[..., ::-1] - seen.attention).max() > 1e-6
    np.testing.assert_allclose(
        both.probabilities, (seen.probabilities + turned.probabilities) / 2, atol=1e-6
    )


def test_it_is_what_it_asks_in_all_else(runtime):
    both = MirroredRuntime(runtime)
    assert (both.metadata, both.backend) == (runtime.metadata, runtime.backend)
    assert both.device == runtime.device
