"""What kind of GLAMOR-Net: every choice that changes its parameters or its graph.

Free of torch, because weights' metadata is read where torch is never imported.
"""

from dataclasses import dataclass
from enum import StrEnum

from glamor_cli.errors import ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.settings import require_below_one, settle_choices


class Encoder(StrEnum):
    """The two encoders of the paper (its tables 1 to 3)."""

    ORIGINAL = "original"
    RESNET18 = "resnet18"


@dataclass(frozen=True)
class FeatureMap:
    """What an encoder makes of the context.

    Attributes:
        channels: Its channels.
        size: Height and width, and so of the attention map.
        stride: Pixels of the context from one cell to the next.
        is_even: Whether the cells divide the context evenly, as poolings do. Padded convolutions
            with a stride put the centre of cell i at pixel ``stride * i``. Of maps of one size
            either all are even or none: pictures tell it by the size (`vision/attention_map.py`).
    """

    channels: int
    size: int
    stride: int
    is_even: bool


FEATURE_MAPS = {
    Encoder.ORIGINAL: FeatureMap(256, 7, stride=16, is_even=True),
    Encoder.RESNET18: FeatureMap(512, 4, stride=32, is_even=False),
}


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

    @property
    def has_face(self) -> bool:
        """Whether there is a face stream."""
        return self is not Variant.CONTEXT_ONLY

    @property
    def has_context(self) -> bool:
        """Whether there is a context stream."""
        return self is not Variant.FACE_ONLY

    @property
    def has_both(self) -> bool:
        """Whether there are two streams to fuse."""
        return self.has_face and self.has_context

    @property
    def attends(self) -> bool:
        """Whether some positions of the context count more than others."""
        return self.has_context and self is not Variant.POOLED_CONTEXT

    @property
    def asks_face(self) -> bool:
        """Whether the face decides which positions these are."""
        return self.attends and self.has_face and self is not Variant.SELF_ATTENTION

    @property
    def learns_fusion(self) -> bool:
        """Whether the streams' weights are learnt."""
        return self.has_both and self is not Variant.EQUAL_FUSION


FACE_SIZE = 96
"""Height and width of the face input, in pixels."""
CONTEXT_SIZE = 112
"""Height and width of the context input, in pixels."""
_LARGEST_WIDTH = 4096
"""Of a layer that may be asked for, by strangers' files too: its matrix then has 67 MB."""


@dataclass(frozen=True)
class NetworkConfig:
    """The hyper-parameters of a GLAMOR-Net.

    Attributes:
        encoder: The form of both encoders.
        variant: The whole network or one of the paper's ablations.
        classes: How many emotions.
        hidden: Width of the attention's, the fusion's and the classifier's hidden layers.
        dropout: Share of the classifier's hidden units dropped in training, below 1.

    Raises:
        ConfigError: There is no such encoder or variant, or a size or share that no network has.
    """

    encoder: Encoder = Encoder.ORIGINAL
    variant: Variant = Variant.FULL
    classes: int = len(EMOTIONS)
    hidden: int = 128
    dropout: float = 0.5

    def __post_init__(self) -> None:
        settle_choices(self, encoder=Encoder, variant=Variant)
        for name in ("classes", "hidden"):
            size = getattr(self, name)
            if type(size) is not int or not 1 <= size <= _LARGEST_WIDTH:
                raise ConfigError(
                    f"{name} must be a whole number from 1 to {_LARGEST_WIDTH}, not {size!r}",
                    f"Give {name} a number in between.",
                )
        require_below_one(self.dropout, "the dropout")

    @property
    def channels(self) -> int:
        """Channels of an encoder's feature map."""
        return FEATURE_MAPS[self.encoder].channels

    @property
    def attention_size(self) -> int:
        """Height and width of the context's feature map, and so of the attention map."""
        return FEATURE_MAPS[self.encoder].size
