"""The two encoders: an image in, a feature map out (paper, section 3.2)."""

import torch
from torch import Tensor, nn

from glamor_cli.network.config import Encoder
from glamor_cli.settings import choose

KERAS_EPSILON = 1e-3
"""Keras's default epsilon of batch norm; PyTorch's 1e-5 moves the scores by 0.003."""
KERAS_MOMENTUM = 0.01
"""Keras's momentum 0.99 in PyTorch's convention, which weighs the new value."""

FILTERS = (32, 64, 128, 256, 256)


class ConvBlock(nn.Module):
    """Convolution 3x3 with bias, batch norm, ReLU and, where asked, max-pooling 2x2."""

    def __init__(self, in_channels: int, out_channels: int, *, pool: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H/2, W/2), or H, W without pooling."""
        # max(relu(x)) == relu(max(x)), but pooling first does a quarter of the ReLU's work.
        pooled: Tensor = self.pool(self.norm(self.conv(x)))
        return torch.relu(pooled)


class OriginalEncoder(nn.Module):
    """Five convolution blocks: (B, 3, 96, 96) -> (B, 256, 6, 6); 112 -> 7x7."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *FILTERS)
        self.blocks = nn.Sequential(
            *(
                ConvBlock(widths[i], widths[i + 1], pool=i < len(FILTERS) - 1)
                for i in range(len(FILTERS))
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode RGB images in [0, 1], (B, 3, H, W), to (B, 256, H/16, W/16)."""
        features: Tensor = self.blocks(image)
        return features


class ResNet18Encoder(nn.Module):
    """ResNet-18 without pooling and classifier: (B, 3, 96, 96) -> (B, 512, 3, 3); 112 -> 4x4."""

    def __init__(self) -> None:
        super().__init__()
        # Late: it brings torch's compiler, which takes seconds, and only this encoder needs it.
        from torchvision.models import resnet18

        trunk = resnet18(weights=None)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        self.layers = nn.Sequential(trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)

    def forward(self, image: Tensor) -> Tensor:
        """Encode RGB images in [0, 1], (B, 3, H, W), to (B, 512, ceil(H/32), ceil(W/32))."""
        features: Tensor = self.layers(self.stem(image))
        return features


def make_encoder(kind: Encoder) -> nn.Module:
    """Make a freshly initialised encoder of one of the paper's two kinds.

    Raises:
        ConfigError: There is no such encoder.
    """
    makers = {Encoder.ORIGINAL: OriginalEncoder, Encoder.RESNET18: ResNet18Encoder}
    return makers[choose(Encoder, kind, "encoder")]()
