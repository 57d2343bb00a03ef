"""GLAMOR-Net: two encoders, attention of the face over the context, fusion, classifier."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from glamor_cli.network.attention import GlobalLocalAttention, attend
from glamor_cli.network.config import NetworkConfig
from glamor_cli.network.encoders import make_encoder
from glamor_cli.network.fusion import AdaptiveFusion, Classifier


class GlamorOutput(NamedTuple):
    """What the network answers.

    Attributes:
        logits: (B, classes).
        attention: (B, h, w), each map sums to 1; all zero where the context is not looked at.
        stream_weights: (B, 2): face, context; each row sums to 1.
    """

    logits: Tensor
    attention: Tensor
    stream_weights: Tensor


class GlamorNet(nn.Module):
    """The network of "Global-Local Attention for Emotion Recognition" (arXiv 2111.04129).

    Args:
        config: Which encoders, and the whole network or one of its ablations.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or NetworkConfig()
        variant, channels, hidden = self.config.variant, self.config.channels, self.config.hidden
        encoder = self.config.encoder
        self.face_encoder = make_encoder(encoder) if variant.has_face else None
        self.context_encoder = make_encoder(encoder) if variant.has_context else None
        self.attention = (
            GlobalLocalAttention(channels, hidden, face=variant.asks_face)
            if variant.attends
            else None
        )
        self.fusion = AdaptiveFusion(channels, hidden) if variant.learns_fusion else None
        self.classifier = Classifier(
            channels * (1 + variant.has_both), hidden, self.config.classes, self.config.dropout
        )

    def forward(self, face: Tensor, context: Tensor) -> GlamorOutput:
        """Recognise the emotion of each face in its context.

        Args:
            face: (B, 3, 96, 96), RGB in [0, 1].
            context: (B, 3, 112, 112), RGB in [0, 1], the face masked by zeros.
        """
        return self.answer(
            None if self.face_encoder is None else self.face_encoder(face),
            None if self.context_encoder is None else self.context_encoder(context),
        )

    def answer(self, face_map: Tensor | None, context_map: Tensor | None) -> GlamorOutput:
        """Attend, fuse and classify: all that comes after the encoders.

        Args:
            face_map: The face encoder's feature map, (B, C, h', w'); None for context-only.
            context_map: The context encoder's, (B, C, h, w); None for face-only.
        """
        face = None if face_map is None else face_map.mean(dim=(2, 3))  # (B, C)
        if context_map is None:
            assert face is not None  # noqa: S101 - one stream always exists
            size = self.config.attention_size
            attention = face.new_zeros((face.shape[0], size, size))
            return GlamorOutput(self.classifier(face), attention, _one_hot(face, first=True))
        attention = self._attend(context_map, face)
        context = attend(context_map, attention)  # (B, C)
        if face is None:
            weights = _one_hot(context, first=False)
            return GlamorOutput(self.classifier(context), attention, weights)
        if self.fusion is None:
            weights = face.new_full((face.shape[0], 2), 0.5)
        else:
            weights = self.fusion(face, context)
        fused = torch.cat((weights[:, :1] * face, weights[:, 1:] * context), dim=1)  # (B, 2C)
        return GlamorOutput(self.classifier(fused), attention, weights)

    def _attend(self, context_map: Tensor, face: Tensor | None) -> Tensor:
        """Attention map (B, h, w); uniform where the variant only pools."""
        if self.attention is None:
            batch, _, height, width = context_map.shape
            return context_map.new_full((batch, height, width), 1 / (height * width))
        asked = face if self.config.variant.asks_face else None
        attention: Tensor = self.attention(context_map, asked)
        return attention


def _one_hot(vector: Tensor, *, first: bool) -> Tensor:
    """Stream weights (B, 2) of a network of one stream, (B, C).

    Filled on the device: a CUDA graph cannot record a copy of values from the host.
    """
    one, none = vector.new_ones((len(vector), 1)), vector.new_zeros((len(vector), 1))
    return torch.cat((one, none) if first else (none, one), dim=1)
