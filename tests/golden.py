"""The rule behind the golden data, and the arrays it was run on.

The authors' program was run on weights and inputs that follow a rule (named generators, 53-bit
uniform doubles), so tests make them anew instead of storing them. ``tests/data`` holds what the
program computed.
"""

import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.export.tensorflow_checkpoint import convert_variables
from glamor_cli.network.glamor_net import GlamorNet

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[1] / ".." / "shared" / "golden"
"""The golden folder beside the repository; only some machines have it."""

LABELS = torch.tensor([0, 3, 5, 6])
_SEED = 20210718
_GAIN = {
    "attention_fc2/kernel": 2.0,
    "face_weight2/kernel": 0.5,
    "context_weight2/kernel": 0.5,
    "final_classify/kernel": 2.0,
}
_RANGES = {
    "bias": (-0.1, 0.1),
    "gamma": (0.5, 1.5),
    "beta": (-0.5, 0.5),
    "moving_mean": (-0.5, 0.5),
    "moving_variance": (0.5, 1.5),
}


def load(name: str) -> dict[str, NDArray]:
    """Load one of the golden files of ``tests/data``."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return dict(arrays)


def uniform(name: str, shape: tuple[int, ...], low: float, high: float) -> NDArray[np.float64]:
    """Draw uniformly from the generator of that name."""
    generator = np.random.default_rng([_SEED, zlib.crc32(name.encode())])
    return low + (high - low) * generator.random(shape)


def variable_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """List the official names and TensorFlow shapes of all 80 variables."""
    for encoder in ("FaceEncodingNet", "ContextEncodingNet"):
        before = 3
        for block, width in enumerate((32, 64, 128, 256, 256)):
            place = f"{encoder}/blocks/{block}"
            yield f"{place}/conv/kernel", (3, 3, before, width)
            yield f"{place}/conv/bias", (width,)
            yield from _norm(f"{place}/bn", width)
            before = width
    yield from _dense("attention_fc1", 512, 128)
    yield from _norm("attention_fc1_bn", 128)
    yield from _dense("attention_fc2", 128, 1)
    for stream in ("face", "context"):
        yield from _dense(f"{stream}_weight1", 256, 128)
        yield from _dense(f"{stream}_weight2", 128, 1)
    yield from _dense("final_fc1", 512, 128)
    yield from _dense("final_classify", 128, 7)


@cache
def make_weights() -> dict[str, NDArray[np.float32]]:
    """Make the weights, by official name in TensorFlow's layout."""
    return {name: _variable(name, shape) for name, shape in variable_shapes()}


def make_inputs() -> tuple[Tensor, Tensor]:
    """Make faces (4, 3, 96, 96) and contexts (4, 3, 112, 112), RGB float32 in [0, 1)."""
    # Not cached as tensors: one made in inference mode could never be trained on.
    faces, contexts = _images("input/face", 12), _images("input/context", 14)
    return torch.from_numpy(faces.copy()), torch.from_numpy(contexts.copy())


def make_edge_inputs() -> tuple[Tensor, Tensor]:
    """Make the two edge cases: an all-zero face, then an all-zero context."""
    faces, contexts = make_inputs()
    zero_face = torch.zeros_like(faces[0])
    zero_context = torch.zeros_like(contexts[0])
    return torch.stack((zero_face, faces[0])), torch.stack((contexts[0], zero_context))


def make_network(dtype: torch.dtype = torch.float32) -> GlamorNet:
    """Make the network with the rule's weights, in evaluation mode and without dropout."""
    network = GlamorNet().to(dtype)
    tensors = {name: value.to(dtype) for name, value in convert_variables(make_weights()).items()}
    missing, unexpected = network.load_state_dict(tensors, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    network.classifier.dropout.p = 0.0
    return network.eval()


def _dense(name: str, width: int, out: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}/kernel", (width, out)
    yield f"{name}/bias", (out,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("gamma", "beta", "moving_mean", "moving_variance"):
        yield f"{name}/{part}", (width,)


def _variable(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    kind = name.rsplit("/", 1)[1]
    if kind == "kernel":
        limit = _GAIN.get(name, 1.0) * np.sqrt(6.0 / int(np.prod(shape[:-1])))
        low, high = -limit, limit
    else:
        low, high = _RANGES[kind]
    return uniform(name, shape, low, high).astype(np.float32)


@cache
def _images(name: str, cells: int) -> NDArray[np.float32]:
    """Blocks of 8x8 pixels and pixel noise, each image dimmer than the one before."""
    coarse = uniform(f"{name}/coarse", (4, cells, cells, 3), 0.0, 1.0)
    coarse = coarse.repeat(8, axis=1).repeat(8, axis=2)
    fine = uniform(f"{name}/fine", coarse.shape, 0.0, 1.0)
    dim = np.array([1.0, 0.75, 0.5, 0.25]).reshape(4, 1, 1, 1)
    images = ((0.75 * coarse + 0.25 * fine) * dim).astype(np.float32)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
