"""The attention-fusion core in one launch: from the encoders' feature maps to the answer.

The plain modules need about thirty launches for arithmetic that a GPU does in a microsecond.
Expected cost, for a batch of B of the original network in float16: 43.5 KB of feature maps a sample
and 0.4 MB of weights (read from memory once, and from the L2 cache by every program), 3.5 million
operations a sample, of which the attention's first layer has 3.2 million. So memory and launch
decide, not arithmetic: the matrix units are used because they need no reductions across warps.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from glamor_cli.network.config import NetworkConfig

if TYPE_CHECKING:
    from glamor_cli.network.glamor_net import GlamorNet

_MATRICES = 6
_VECTORS = 9
_SMALLEST_TILE = 16
"""Rows, and depth, of the matrix units' smallest product."""
_LARGEST_STEP = 32
"""Channels taken at a time, at most."""


class CoreOutput(NamedTuple):
    """What the core answers; all float32, whatever it computes in.

    Attributes:
        probabilities: (B, classes); each row sums to 1; the temperature is applied.
        logits: (B, classes), before the temperature.
        attention: (B, h, w); each map sums to 1.
        stream_weights: (B, 2): face, context; each row sums to 1.
    """

    probabilities: Tensor
    logits: Tensor
    attention: Tensor
    stream_weights: Tensor


@dataclass(frozen=True)
class Launch:
    """How the kernel is laid out on the GPU.

    Attributes:
        samples: Samples a program; the weights are read once for all of them. A power of two.
        step: Channels taken at a time; divides the network's.
        warps: Warps of 32 threads a program.
        stages: Steps that Triton's pipeliner spreads a loop over. From three on, the loads of
            ``stages - 2`` later steps are under way while a step is multiplied; with two, loads and
            products take turns. Each costs a buffer in shared memory, of which there may be 99 KB.
        dot: How float32 is multiplied: ``tf32x3`` on the matrix units, in three products, to about
            float32's precision, or ``ieee`` on the plain units. Half precision does not ask.
    """

    samples: int = 1
    step: int = _LARGEST_STEP
    warps: int = 8
    stages: int = 2
    dot: str = "tf32x3"


def choose_launch(batch: int, positions: int, dtype: torch.dtype, processors: int) -> Launch:
    """Choose the layout for a batch.

    While there are processors to spare a sample has a program to itself: that is the shortest way
    through. A larger batch shares the reading of the weights among samples, as many as keep every
    processor busy and the product within as many rows as fit the registers.

    Args:
        batch: Samples.
        positions: Of the context's feature map.
        dtype: Of the feature maps.
        processors: Multiprocessors of the GPU.
    """
    # Three products for one keep more in registers.
    rows = 64 if dtype is torch.float32 else 128
    room = max(1, rows // _padded(positions))
    samples = 1
    while samples < room and samples * processors < batch:
        samples *= 2
    # Half the bytes a channel: twice the channels a step in the same shared memory. With eight
    # samples' rows, as many spill.
    step = 16 if dtype is torch.float32 or samples >= 8 else _LARGEST_STEP
    # Several samples' buffers are larger: there is room for fewer.
    return Launch(samples=samples, step=step, stages=4 if samples == 1 else 3)


@cache
def fused_core_problem() -> str | None:
    """Say why the kernel cannot be compiled here; None if it can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (it comes with torch on Linux)"
    if not torch.cuda.is_available():
        return "no CUDA device is found"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the GPU is older than Ampere"
    return None


def unsupported(config: NetworkConfig) -> str | None:
    """Say why the kernel cannot compute a network's core; None if it can."""
    if not config.variant.has_both:
        return f"a {config.variant} network has no attention-fusion core"
    if config.hidden < _SMALLEST_TILE or config.hidden & (config.hidden - 1):
        return f"a hidden width of {config.hidden} is not a power of two from 16 on"
    if config.channels % _LARGEST_STEP:
        return f"{config.channels} channels are not a multiple of {_LARGEST_STEP}"
    return None


class FusedCore(nn.Module):
    """A network's core, its weights packed for the kernel.

    Args:
        network: In evaluation mode, with both streams. Left as it is.
        temperature: Logits are divided by it before the softmax.
        dtype: Of the feature maps and of the large matrices: float32, float16 or bfloat16. Sums,
            biases, norms and the softmaxes are float32 always.

    Raises:
        ValueError: The kernel cannot compute this network's core; ``unsupported`` says why.
    """

    matrices: Tensor
    vectors: Tensor
    classifier: Tensor

    def __init__(self, network: "GlamorNet", temperature: float, dtype: torch.dtype) -> None:
        super().__init__()
        reason = unsupported(network.config)
        if reason is not None:
            raise ValueError(reason)
        self.config = network.config
        self.temperature = temperature
        matrices, vectors, classifier, self.fusion_bias = pack(network)
        self.register_buffer("matrices", matrices.to(dtype))
        self.register_buffer("vectors", vectors)
        self.register_buffer("classifier", classifier)

    def allocate(self, batch: int, height: int, width: int) -> CoreOutput:
        """Make room for the answers of a batch, with nothing in it yet."""
        device, classes = self.matrices.device, self.config.classes
        return CoreOutput(
            torch.empty(batch, classes, device=device),
            torch.empty(batch, classes, device=device),
            torch.empty(batch, height, width, device=device),
            torch.empty(batch, 2, device=device),
        )

    def forward(
        self,
        face_map: Tensor,
        context_map: Tensor,
        *,
        out: CoreOutput | None = None,
        launch: Launch | None = None,
    ) -> CoreOutput:
        """Answer a batch.

        Args:
            face_map: The face encoder's feature map, (B, C, h', w'), contiguous or channels_last
                (others are copied), in the dtype of the matrices.
            context_map: The context encoder's, (B, C, h, w).
            out: Where to write, or None to allocate.
            launch: The layout; None chooses.

        Raises:
            ValueError: Maps of another shape, dtype or device than the core's.
        """
        self._check(face_map, context_map)
        batch, _, height, width = context_map.shape
        if out is None:
            out = self.allocate(batch, height, width)
        if batch == 0:
            return out
        face_map, context_map = _with_one_stride(face_map), _with_one_stride(context_map)
        positions, face_positions = height * width, face_map.shape[2] * face_map.shape[3]
        if launch is None:
            launch = choose_launch(batch, positions, face_map.dtype, _processors(face_map.device))
        # Here because Triton is absent off Linux, and slow to import.
        from glamor_cli.network.fused_kernel import attention_fusion_kernel

        # Triton launches on the current device, whichever the maps are on.
        with torch.cuda.device_of(face_map):  # type: ignore[no-untyped-call]
            attention_fusion_kernel[((batch + launch.samples - 1) // launch.samples,)](
                face_map,
                *_strides(face_map),
                context_map,
                *_strides(context_map),
                self.matrices,
                self.vectors,
                self.classifier,
                *out,
                batch,
                self.fusion_bias,
                1 / self.temperature,
                **constants(self.config, face_positions, positions, launch),
                WIDEN=face_map.device.type != "cuda" and face_map.dtype is torch.bfloat16,
                num_warps=launch.warps,
                num_stages=launch.stages,
                enable_fp_fusion=True,
            )
        return out

    def _check(self, face_map: Tensor, context_map: Tensor) -> None:
        channels = self.config.channels
        for name, values in (("face_map", face_map), ("context_map", context_map)):
            if values.ndim != 4 or values.shape[1] != channels:
                raise ValueError(f"{name} is {list(values.shape)}, not [B, {channels}, h, w]")
            if values.dtype != self.matrices.dtype or values.device != self.matrices.device:
                raise ValueError(
                    f"{name} is {values.dtype} on {values.device}, "
                    f"the core {self.matrices.dtype} on {self.matrices.device}"
                )
        if len(face_map) != len(context_map):
            raise ValueError(f"{len(face_map)} face maps but {len(context_map)} context maps")


def constants(
    config: NetworkConfig, face_positions: int, positions: int, launch: Launch
) -> dict[str, int | str]:
    """Constants that the kernel is compiled for."""
    return {
        "CHANNELS": config.channels,
        "HIDDEN": config.hidden,
        "CLASSES": config.classes,
        "PADDED_CLASSES": _power_of_two(config.classes),
        "FACE_POSITIONS": face_positions,
        "PADDED_FACE": _padded(face_positions),
        "POSITIONS": positions,
        "PADDED": _padded(positions),
        "SAMPLES": launch.samples,
        "STEP": launch.step,
        "DOT": launch.dot,
    }


@torch.no_grad()
def pack(network: "GlamorNet") -> tuple[Tensor, Tensor, Tensor, float]:
    """Gather a core's parameters in the order the kernel reads them, all float32.

    What a variant lacks is packed as zeros, which compute its answer: without an attention all
    scores are equal, and so the attention uniform; without a learned fusion so are the weights.

    Returns:
        Matrices (6, C, hidden), each transposed: attention's face half and context half, fusion's
        face and context layer, classifier's face half and context half. Vectors (9, hidden):
        attention's bias, its norm's scale and shift, its score's weights; the face's fusion bias
        and score weights, the context's; the classifier's bias. The classifier's last layer, flat:
        weights (classes, hidden), biases (classes). The face score's bias less the context's.
    """
    config = network.config
    channels, hidden = config.channels, config.hidden
    matrices = torch.zeros(_MATRICES, channels, hidden)
    vectors = torch.zeros(_VECTORS, hidden)
    attention, fusion, head = network.attention, network.fusion, network.classifier
    if attention is not None:
        weight = attention.hidden.weight.float().cpu()  # (hidden, 2C), or (hidden, C)
        if weight.shape[1] == 2 * channels:
            matrices[0] = weight[:, :channels].T
        matrices[1] = weight[:, -channels:].T
        norm = attention.norm
        assert norm.running_mean is not None  # noqa: S101 - the norm is made with statistics
        assert norm.running_var is not None  # noqa: S101
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        vectors[0] = attention.hidden.bias
        vectors[1] = scale
        vectors[2] = norm.bias - norm.running_mean * scale
        vectors[3] = attention.score.weight[0]
    fusion_bias = 0.0
    if fusion is not None:
        for index, score in enumerate((fusion.face, fusion.context)):
            layer, _, last = score
            assert isinstance(layer, nn.Linear)  # noqa: S101 - so StreamScore is made
            assert isinstance(last, nn.Linear)  # noqa: S101
            matrices[2 + index], vectors[4 + 2 * index] = layer.weight.T, layer.bias
            vectors[5 + 2 * index] = last.weight[0]
            fusion_bias += (1 - 2 * index) * float(last.bias)
    matrices[4] = head.hidden.weight[:, :channels].T
    matrices[5] = head.hidden.weight[:, channels:].T
    vectors[8] = head.hidden.bias
    classifier = torch.cat((head.logits.weight.flatten(), head.logits.bias)).float().cpu()
    return matrices, vectors, classifier, fusion_bias


def _with_one_stride(values: Tensor) -> Tensor:
    """Positions must be evenly spaced: so they are in both layouts, and in no cut-out."""
    _, _, height, width = values.shape
    even = height == 1 or values.stride(2) == width * values.stride(3)
    return values if even else values.contiguous()


def _strides(values: Tensor) -> tuple[int, int, int]:
    """Strides of sample, channel and position."""
    return values.stride(0), values.stride(1), values.stride(3)


@cache
def _processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1  # Triton's interpreter
    count: int = torch.cuda.get_device_properties(device).multi_processor_count
    return count


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


def _padded(positions: int) -> int:
    return max(_SMALLEST_TILE, _power_of_two(positions))
