"""Global-local attention: the face decides where in the context to look (paper, section 3.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glamor_cli.network.encoders import KERAS_EPSILON, KERAS_MOMENTUM


class BiasedVarianceNorm(nn.BatchNorm1d):
    """Batch norm whose moving variance takes the batch's biased variance.

    Keras does the same where it does not use its fused kernel, and the attention is such a place
    (docs/official-program.md, Network). At inference it equals ``nn.BatchNorm1d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C)."""
        if not self.training:
            return super().forward(x)
        # Statistics in float32 even under autocast: half precision loses the small variances.
        detached = x.detach().to(self.weight.dtype)
        variance, mean = torch.var_mean(detached, dim=0, correction=0)
        with torch.no_grad():
            if self.running_mean is not None and self.running_var is not None:
                weight = self.momentum if self.momentum is not None else 0.0
                self.running_mean.lerp_(mean, weight)
                self.running_var.lerp_(variance, weight)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


class GlobalLocalAttention(nn.Module):
    """Scores every context position by a small MLP and returns the softmax over positions.

    Args:
        channels: Channels of the context's feature map.
        hidden: Width of the MLP.
        face: Whether the face vector joins each position, before it. Without it the context
            attends to itself, as in CAER-Net.
    """

    def __init__(self, channels: int, hidden: int, *, face: bool = True) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * channels if face else channels, hidden)
        self.norm = BiasedVarianceNorm(hidden, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM)
        self.score = nn.Linear(hidden, 1)

    def forward(self, context: Tensor, face: Tensor | None = None) -> Tensor:
        """Weigh the positions of the context.

        Args:
            context: Feature map, (B, C, h, w).
            face: Face vector, (B, C); None where the attention was made without the face.

        Returns:
            Attention map, (B, h, w); each sums to 1.
        """
        batch, channels, height, width = context.shape
        positions = _positions(context)
        if face is None:
            hidden = self.hidden(positions)  # (B, hw, hidden)
        else:
            # W [face; position] = W_face face + W_location position: the face's half once, not hw
            # times.
            from_face = F.linear(face, self.hidden.weight[:, :channels])  # (B, hidden)
            from_position = F.linear(positions, self.hidden.weight[:, channels:], self.hidden.bias)
            hidden = from_position + from_face[:, None]  # (B, hw, hidden)
        # A ReLU on both sides of the norm (docs/official-program.md, Network).
        normed = self.norm(torch.relu(hidden).flatten(0, 1))  # (B * hw, hidden)
        scores: Tensor = self.score(torch.relu(normed)).view(batch, height * width)
        return scores.softmax(dim=1).view(batch, height, width)


def attend(context: Tensor, attention: Tensor) -> Tensor:
    """Sum the context's positions, weighted: (B, C, h, w), (B, h, w) -> (B, C)."""
    return torch.bmm(attention.flatten(1)[:, None], _positions(context))[:, 0]


def _positions(feature_map: Tensor) -> Tensor:
    """List a map's positions row by row, (B, C, h, w) -> (B, hw, C).

    The same values as ``flatten(2).transpose(1, 2)``, but where channels lie last, as in the
    engines, this order moves nothing.
    """
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)
