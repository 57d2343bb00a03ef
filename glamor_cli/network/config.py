"""What kind of GLAMOR-Net: every choice that changes its parameters or its graph.

Free of torch, because weights' metadata is read where torch is never imported.
"""

from dataclasses import dataclass
from enum import StrEnum


class Encoder(StrEnum):
    """The two encoders of the paper (its tables 1 to 3)."""

    ORIGINAL = "original"
    RESNET18 = "resnet18"


class Variant(StrEnum):
    """The whole network and the paper's ablations of it."""

    FULL = "full"
    """The face decides where in the context to look; a learned fusion weighs both."""
    FACE_ONLY = "face-only"
    """No context stream: the classifier sees the face vector alone."""
    CONTEXT_ONLY = "context-only"
    """No face stream: the context attends to itself, the classifier sees its vector alone."""
    POOLED_CONTEXT = "pooled-context"
    """No attention: the context vector is the average over all positions."""
    SELF_ATTENTION = "self-attention"
    """Attention without the face: the context attends to itself, as in CAER-Net."""
    EQUAL_FUSION = "equal-fusion"
    """No learned fusion weights: both streams weigh one half."""


FACE_SIZE = 96
"""Height and width of the face input, in pixels."""
CONTEXT_SIZE = 112
"""Height and width of the context input, in pixels."""


@dataclass(frozen=True)
class NetworkConfig:
    """The hyper-parameters of a GLAMOR-Net.

    Attributes:
        encoder: The form of both encoders.
        variant: The whole network or one of the paper's ablations.
        classes: How many emotions.
        hidden: Width of the attention's, the fusion's and the classifier's hidden layers.
        dropout: Share of the classifier's hidden units dropped in training.
    """

    encoder: Encoder = Encoder.ORIGINAL
    variant: Variant = Variant.FULL
    classes: int = 7
    hidden: int = 128
    dropout: float = 0.5

    @property
    def channels(self) -> int:
        """Channels of an encoder's feature map."""
        return 256 if self.encoder is Encoder.ORIGINAL else 512

    @property
    def attention_size(self) -> int:
        """Height and width of the context's feature map, and so of the attention map."""
        return 7 if self.encoder is Encoder.ORIGINAL else 4
