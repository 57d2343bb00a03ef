"""What the prediction tests share: exported weights with varied answers, and photographs."""

from pathlib import Path

import pytest
import skimage.data
import torch
from PIL import Image

from glamor_cli.export.config import BatchRange, ExportConfig
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.weights import Metadata, save_network


@pytest.fixture(scope="session")
def onnx_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GlamorNet().eval()
    # As initialised, all faces get nearly the same answer, which would hide a mix-up.
    torch.nn.init.normal_(network.classifier.logits.weight, 0, 0.4)
    torch.nn.init.normal_(network.attention.score.weight, 0, 1)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.05, 0.3)
    path = tmp_path_factory.mktemp("weights") / "varied.safetensors"
    save_network(path, network, Metadata("varied"))
    export_onnx(path, path.with_suffix(".onnx"), ExportConfig(batch=BatchRange(1, 2, 3)))
    return path.with_suffix(".onnx")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as people have them: one face, six faces, none, no image, and a subfolder."""
    folder = tmp_path_factory.mktemp("photographs")
    astronaut = Image.fromarray(skimage.data.astronaut())
    astronaut.save(folder / "astronaut.png")
    group = Image.new("RGB", (1536, 1024))
    for number in range(6):
        turned = astronaut.rotate((number - 2) * 6)
        group.paste(turned, (number % 3 * 512, number // 3 * 512))
    group.save(folder / "group.jpg", quality=95)
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.jpg")
    (folder / "fake.jpg").write_text("this is no image")
    (folder / "notes.txt").write_text("neither is this, but nobody says so")
    (folder / "sub").mkdir()
    astronaut.crop((100, 0, 400, 300)).save(folder / "sub" / "[bold], x\ny.png")
    return folder
