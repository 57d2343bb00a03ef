"""A network with answers that vary, exported once for the tests of what is built from it."""

from pathlib import Path

import pytest
import torch
from scene_stores import write_scene_store

from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig
from glamor_cli.export.with_preprocessing import add_preprocessing
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.weights.metadata import LearntSplit, Metadata
from glamor_cli.weights.network_file import save_network


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GlamorNet().eval()
    # As initialised, all images get nearly the same answer, which would hide differences.
    torch.nn.init.normal_(network.classifier.logits.weight, 0, 3)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.05, 0.3)
    path = tmp_path_factory.mktemp("exported") / "varied.safetensors"
    learnt_from = (LearntSplit("train", "1" * 64, 28, held_out_seed=0),)
    metadata = Metadata("varied", temperature=1.3, learnt_from=learnt_from, chosen_by="2" * 64)
    save_network(path, network, metadata)
    return path


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face alone, exported in two thirds of the time: for tests that any network serves."""
    torch.manual_seed(0)
    network = GlamorNet(NetworkConfig(variant=Variant.FACE_ONLY)).eval()
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save_network(path, network, Metadata("small", network=network.config))
    return path


@pytest.fixture(scope="session")
def exported(weights_file: Path) -> Path:
    path = weights_file.with_suffix(".onnx")
    export_onnx(weights_file, path, ExportConfig(batch=BatchRange(1, 2, 3)))
    return path


@pytest.fixture(scope="session")
def graph(exported: Path) -> Path:
    path = exported.with_name("varied-image.onnx")
    add_preprocessing(exported, path)
    return path


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene_store(tmp_path_factory.mktemp("export-store"), train=21, test=14)
