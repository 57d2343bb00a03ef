"""The paper recipe begins where the authors' program does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.keras_init import initialise_like_keras
from glamor_cli.training.recipes import PAPER
from glamor_cli.training.trainer import train
from glamor_cli.weights.network_file import read_tensors


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = GlamorNet()
    initialise_like_keras(network)
    return network


@pytest.mark.parametrize(
    ("name", "fan_in", "fan_out"),
    [
        ("face_encoder.blocks.0.conv", 3 * 9, 32 * 9),
        ("context_encoder.blocks.4.conv", 256 * 9, 256 * 9),
        ("attention.hidden", 512, 128),
        ("classifier.logits", 128, 7),
    ],
)
def test_kernels_are_glorot_uniform_and_biases_zero(network, name, fan_in, fan_out):
    layer = network.get_submodule(name)
    limit = (6 / (fan_in + fan_out)) ** 0.5
    assert layer.weight.abs().max() <= limit
    assert layer.weight.abs().max() > 0.95 * limit
    assert layer.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.05)
    assert not layer.bias.any()


def test_norms_begin_as_in_keras(network):
    for name, value in network.state_dict().items():
        if ".norm." in name and not name.endswith("batches_tracked"):
            one = name.endswith(("weight", "running_var"))
            assert torch.equal(value, torch.ones_like(value) if one else torch.zeros_like(value))


def test_seed_decides(network):
    torch.manual_seed(0)
    again = GlamorNet()
    initialise_like_keras(again)
    assert torch.equal(again.attention.hidden.weight, network.attention.hidden.weight)


def test_the_paper_recipe_begins_so(scene_store: Path, tmp_path: Path):
    """After two small steps the classifier still has Glorot's range, twice PyTorch's."""
    train(
        TrainConfig(
            store=scene_store,
            run=tmp_path / "run",
            recipe=replace(PAPER, epochs=1, batch_size=8),
            network=NetworkConfig(variant=Variant.FACE_ONLY),
            threads=1,
        )
    )
    tensors, _ = read_tensors(tmp_path / "run" / "best.safetensors")
    assert tensors["classifier.logits.weight"].abs().max() > 0.18
