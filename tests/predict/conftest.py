"""What the prediction tests share: weights with varied answers, and photographs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
from onnx import numpy_helper
from PIL import Image

from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights


@pytest.fixture(scope="session")
def onnx_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default weights, made to go by the context as much as by the face.

    They weigh a photograph's face 0.999: a mix-up of contexts would be lost in the tolerance.
    """
    model = onnx.load(find_weights(DEFAULT_WEIGHTS, suffix=".onnx"))
    name = "network.fusion.face.2.bias"
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) - np.float32(7), name))
    path = tmp_path_factory.mktemp("weights") / "even.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def config(onnx_weights: Path) -> PredictConfig:
    return PredictConfig(weights=onnx_weights, device="cpu", threads=1)


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


@pytest.fixture
def options(onnx_weights: Path) -> list[str]:
    """Of the command, for those weights."""
    return ["--weights", str(onnx_weights), "--device", "cpu", "--threads", "1"]
