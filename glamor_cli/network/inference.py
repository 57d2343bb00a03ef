"""A network made ready to answer: batch norms folded, channels last, and on CUDA few launches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glamor_cli.network.encoders import ConvBlock
from glamor_cli.network.folding import fold_batch_norms
from glamor_cli.network.fused_core import FusedCore
from glamor_cli.network.glamor_net import GlamorNet

Answer = tuple[Tensor, Tensor, Tensor]
"""Probabilities (B, classes), attention (B, h, w), stream weights (B, 2), all float32."""


class InferenceNetwork(nn.Module):
    """The plain modules, folded: the same steps as the network's own, and the softmax.

    Args:
        network: In evaluation mode; left as it is.
        temperature: Logits are divided by it before the softmax.
        device: Where to compute.
        dtype: In what to compute.
    """

    def __init__(
        self, network: GlamorNet, temperature: float, device: torch.device, dtype: torch.dtype
    ) -> None:
        super().__init__()
        # Folded in float32 first: a folded weight then rounds to half precision only once.
        folded = fold_batch_norms(network).to(device, dtype)
        # Twice as fast as the default layout on the CPU too.
        self.network: GlamorNet = folded.to(memory_format=torch.channels_last)
        self.temperature = temperature

    def forward(self, face: Tensor, context: Tensor) -> Answer:
        """Answer (B, 3, 96, 96) and (B, 3, 112, 112), RGB in [0, 1], channels last."""
        return self.answer(self.encode_face(face), context)

    def encode_face(self, face: Tensor) -> Tensor | None:
        """Encode (B, 3, 96, 96), RGB in [0, 1], channels last; None without a face stream."""
        encoder = self.network.face_encoder
        return None if encoder is None else encoder(face)

    def answer(self, face_map: Tensor | None, context: Tensor) -> Answer:
        """Answer encoded faces and contexts (B, 3, 112, 112), RGB in [0, 1], channels last."""
        encoder = self.network.context_encoder
        context_map = None if encoder is None else encoder(context)
        logits, attention, stream_weights = self.network.answer(face_map, context_map)
        probabilities = (logits.float() / self.temperature).softmax(dim=1)
        return probabilities, attention.float(), stream_weights.float()


class FewLaunches(nn.Module):
    """The same for CUDA, with the core in one launch and the encoders on two streams.

    Args:
        network: In evaluation mode, with both streams; left as it is.
        temperature: Logits are divided by it before the softmax.
        device: A CUDA device.
        dtype: In what to compute.
        fuse_blocks: Let cuDNN add the bias and take the ReLU in the convolution's launch.

    Raises:
        ValueError: The fused core cannot compute this network's core.
    """

    def __init__(
        self,
        network: GlamorNet,
        temperature: float,
        device: torch.device,
        dtype: torch.dtype,
        *,
        fuse_blocks: bool = True,
    ) -> None:
        super().__init__()
        self.core = FusedCore(network, temperature, dtype).to(device)
        folded = fold_batch_norms(network).to(device, dtype)
        folded = folded.to(memory_format=torch.channels_last)
        assert folded.face_encoder is not None  # noqa: S101 - FusedCore refuses the others
        assert folded.context_encoder is not None  # noqa: S101
        self.face_encoder, self.context_encoder = folded.face_encoder, folded.context_encoder
        if fuse_blocks:
            _fuse(self.face_encoder)
            _fuse(self.context_encoder)
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def forward(self, face: Tensor, context: Tensor) -> Answer:
        """Answer (B, 3, 96, 96) and (B, 3, 112, 112), RGB in [0, 1], channels last."""
        main = torch.cuda.current_stream(face.device)
        self._side.wait_stream(main)
        with torch.cuda.stream(self._side):
            face_map = self.face_encoder(face)
        context_map = self.context_encoder(context)
        # The side stream begins by waiting for this one, so it takes no memory that is still read.
        main.wait_stream(self._side)
        answer = self.core(face_map, context_map)
        return answer.probabilities, answer.attention, answer.stream_weights


class FusedBlock(nn.Module):
    """A folded convolution block: cuDNN's convolution with bias and ReLU, then max-pooling."""

    def __init__(self, block: ConvBlock) -> None:
        super().__init__()
        self.conv, self.pools = block.conv, isinstance(block.pool, nn.MaxPool2d)

    def forward(self, x: Tensor) -> Tensor:
        """Map as the block does."""
        x = torch.cudnn_convolution_relu(
            x, self.conv.weight, self.conv.bias, (1, 1), (1, 1), (1, 1), 1
        )
        return F.max_pool2d(x, 2) if self.pools else x


def _fuse(encoder: nn.Module) -> None:
    """Replace an encoder's folded convolution blocks; others (ResNet's) stay as they are."""
    for name, module in list(encoder.named_children()):
        if isinstance(module, ConvBlock):
            setattr(encoder, name, FusedBlock(module))
        else:
            _fuse(module)
