"""The fused core under Triton's interpreter against float64; run by test_fused_core in a process.

The interpreter must be chosen before Triton is first imported. Prints a JSON object: the distances
of all cases, and which samples are NaN where a feature map was poisoned.
"""

import copy
import json
import math
import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import torch

from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.fused_core import FusedCore, Launch, choose_launch
from glamor_cli.network.glamor_net import GlamorNet

TEMPERATURE = 1.7
ORIGINAL, RESNET = NetworkConfig(), NetworkConfig(Encoder.RESNET18)

CASES = {
    # name: config, batch, samples a program, layout of face map and context map
    "one": (ORIGINAL, 1, 1, "contiguous", "channels_last"),
    "three, two a program": (ORIGINAL, 3, 2, "channels_last", "contiguous"),
    "remainder of a program": (ORIGINAL, 9, 8, "channels_last", "channels_last"),
    "resnet18": (RESNET, 3, 1, "contiguous", "contiguous"),
    "resnet18, four a program": (RESNET, 5, 4, "channels_last", "channels_last"),
    "cut-outs of larger maps": (ORIGINAL, 2, 1, "cut-out", "cut-out"),
    "ten classes, no attention": (
        NetworkConfig(variant=Variant.POOLED_CONTEXT, classes=10),
        2,
        1,
        "channels_last",
        "channels_last",
    ),
    "no face in the attention": (
        NetworkConfig(variant=Variant.SELF_ATTENTION),
        2,
        1,
        "channels_last",
        "channels_last",
    ),
    "equal fusion": (
        NetworkConfig(variant=Variant.EQUAL_FUSION),
        2,
        1,
        "channels_last",
        "channels_last",
    ),
}
DTYPES = {
    torch.float32: tuple(CASES),
    torch.float16: ("one", "remainder of a program", "resnet18, four a program"),
    torch.bfloat16: ("one", "three, two a program", "resnet18"),
}


def lively_network(config: NetworkConfig) -> GlamorNet:
    """Every parameter and statistic away from where ignoring it would not show."""
    network = GlamorNet(config).eval()
    for name, values in network.state_dict().items():
        if "encoder" in name or not values.is_floating_point():
            continue
        if name.endswith("running_var"):
            values.uniform_(0.3, 2)
        elif "norm" in name:
            values.normal_(0.3, 0.3)
        elif values.ndim == 2 and values.shape[0] <= config.classes:
            values.normal_(0, 0.7)
        elif name.endswith("bias"):
            values.normal_(0, 0.3)
    return network


def lay_out(values: torch.Tensor, layout: str) -> torch.Tensor:
    if layout == "cut-out":
        larger = torch.full((*values.shape[:2], 9, 10), torch.nan, dtype=values.dtype)
        cut_out = larger[:, :, 1 : 1 + values.shape[2], 2 : 2 + values.shape[3]]
        return cut_out.copy_(values)
    last = layout == "channels_last"
    return values.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def distance(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return float((ours.double() - exact).norm() / exact.norm())


@torch.inference_mode()
def measure(name: str, dtype: torch.dtype) -> dict[str, object]:
    config, batch, samples, face_layout, context_layout = CASES[name]
    network = lively_network(config)
    size = config.attention_size
    face_size = 6 if config.encoder is Encoder.ORIGINAL else 3
    face = torch.rand(batch, config.channels, face_size, face_size).to(dtype)
    context = torch.rand(batch, config.channels, size, size).to(dtype)
    core = FusedCore(network, TEMPERATURE, dtype)
    out = core.allocate(batch, size, size)
    for values in out:
        values.fill_(torch.nan)
    core(
        lay_out(face, face_layout),
        lay_out(context, context_layout),
        out=out,
        launch=Launch(samples=samples, step=choose_launch(batch, size * size, dtype, 1).step),
    )
    exact = copy.deepcopy(network).double().answer(face.double(), context.double())
    return {
        "case": name,
        "dtype": str(dtype).removeprefix("torch."),
        "logits": distance(out.logits, exact.logits),
        "probabilities": distance(out.probabilities, (exact.logits / TEMPERATURE).softmax(1)),
        "attention": distance(out.attention, exact.attention),
        "stream_weights": distance(out.stream_weights, exact.stream_weights),
    }


@torch.inference_mode()
def poison(stream: str, value: float) -> dict[str, object]:
    """Put one number into the first of two samples' maps."""
    network = lively_network(ORIGINAL)
    maps = {"face": torch.rand(2, 256, 6, 6), "context": torch.rand(2, 256, 7, 7)}
    maps[stream][0, 3, 2, 2] = value
    eager = network.answer(*maps.values())
    fused = FusedCore(network, 1.0, torch.float32)(*maps.values(), launch=Launch())
    return {
        "case": f"{value} in the {stream}",
        **{
            output: {
                who: getattr(answer, output).flatten(1).isnan().any(1).tolist()
                for who, answer in (("eager", eager), ("fused", fused))
            }
            for output in ("logits", "attention", "stream_weights")
        },
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    distances = [measure(name, dtype) for dtype, names in DTYPES.items() for name in names]
    poisoned = [
        poison(stream, value) for stream in ("face", "context") for value in (math.inf, math.nan)
    ]
    json.dump({"distances": distances, "poisoned": poisoned}, sys.stdout)
