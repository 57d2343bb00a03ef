"""Fusion: how much the face weighs, and how much the context (paper, section 3.4)."""

import torch
from torch import Tensor, nn


class StreamScore(nn.Sequential):
    """One stream's score in the fusion: dense, ReLU, dense to a single number."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 1))


class AdaptiveFusion(nn.Module):
    """Softmax over the two streams' scores."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.face = StreamScore(channels, hidden)
        self.context = StreamScore(channels, hidden)

    def forward(self, face: Tensor, context: Tensor) -> Tensor:
        """Weigh two vectors (B, C) against each other.

        Returns:
            Stream weights (B, 2): face, context; each row sums to 1.
        """
        return torch.cat((self.face(face), self.context(context)), dim=1).softmax(dim=1)


class Classifier(nn.Module):
    """Dense, ReLU, dropout, dense: a fused vector (B, C) to logits (B, classes)."""

    def __init__(self, channels: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(channels, hidden)
        self.dropout = nn.Dropout(dropout)
        self.logits = nn.Linear(hidden, classes)

    def forward(self, fused: Tensor) -> Tensor:
        """Classify (B, C)."""
        logits: Tensor = self.logits(self.dropout(torch.relu(self.hidden(fused))))
        return logits
