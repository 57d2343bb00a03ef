"""A real store of scenes, and networks whose answers on it vary."""

from pathlib import Path

import pytest
import torch
from scene_stores import write_scene_store

from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import save_network


def save_varied(path: Path, store: Path, seed: int, config: NetworkConfig | None = None) -> None:
    """Save an untrained network that does not answer all scenes alike, which would hide mix-ups."""
    torch.manual_seed(seed)
    network = GlamorNet(config or NetworkConfig()).eval()
    torch.nn.init.normal_(network.classifier.logits.weight, 0, 20)
    pairs = PairStore.open(store).split("test").pairs(slice(None))
    with torch.no_grad():
        network.classifier.logits.bias -= network(*map(torch.from_numpy, pairs)).logits.mean(0)
    save_network(path, network, Metadata(path.stem, network=network.config))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with ``store`` and ``varied``, ``other`` and ``face-only`` weights."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_scene_store(folder, train=7, validation=0, test=23).rename(folder / "store")
    save_varied(folder / "varied.safetensors", folder / "store", 0)
    save_varied(folder / "other.safetensors", folder / "store", 1)
    face_only = NetworkConfig(variant=Variant.FACE_ONLY)
    save_varied(folder / "face-only.safetensors", folder / "store", 2, face_only)
    return folder
