"""One training step on random pairs: forward, backward, update."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F

from glamor_cli.bench.contenders import Absent, Contender, Entry, LineUp, Setup
from glamor_cli.bench.floor import DTYPES
from glamor_cli.bench.options import Backend, Precision
from glamor_cli.export.pairs import Pairs, random_pairs
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.system.exact_float32 import exact_float32
from glamor_cli.training.precision import cpu_has_bf16


def train_line_up(setup: Setup, batch: int) -> LineUp:
    """Line up torch's backends and precisions; only they can train."""
    entries: list[Entry] = []
    network = setup.network.cpu()
    for backend, precision in setup.each():
        problem = _problem(backend, precision, setup.device)
        if problem is not None:
            entries.append(Absent(backend, precision, problem))
            continue
        trained = copy.deepcopy(network).to(setup.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        step = training_step(
            trained,
            # A rate of zero: the same work, but the weights cannot diverge over many steps.
            torch.optim.SGD(trained.parameters(), lr=0.0, momentum=0.9),
            random_pairs(batch),
            None if precision is Precision.FP32 else DTYPES[precision],
            compile_mode=setup.compile_mode if backend is Backend.COMPILE else None,
        )
        provider = setup.compile_mode if backend is Backend.COMPILE else setup.device
        entries.append(Contender(backend, provider, precision, setup.device, step))
    return LineUp(tuple(entries))


def training_step(
    network: GlamorNet,
    optimizer: torch.optim.Optimizer,
    pairs: Pairs,
    dtype: torch.dtype | None = None,
    *,
    compile_mode: str | None = None,
) -> Callable[[], float]:
    """Make a step as the trainer's: forward, backward, update, and the loss read back.

    Args:
        network: On its device, channels last; it is trained.
        optimizer: Of its parameters.
        pairs: A batch.
        dtype: To autocast to; None for float32.
        compile_mode: Of ``torch.compile``; None for eager.
    """
    network.train()
    if compile_mode is not None:
        network.compile(dynamic=False, fullgraph=True, mode=compile_mode)
    device = next(network.parameters()).device
    face, context = (
        torch.from_numpy(values).to(device, memory_format=torch.channels_last)
        for values in (pairs.face, pairs.context)
    )
    labels = torch.arange(len(face), device=device) % network.config.classes

    def step() -> float:
        # The backward pass too: libraries ask for the setting when they run.
        with exact_float32():
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                logits = network(face, context).logits.float()
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        value = float(loss.detach())
        if device.type == "cuda":
            torch.cuda.synchronize()
        return value

    return step


def _problem(backend: Backend, precision: Precision, device: str) -> str | None:
    """Say why it does not train here; None if it does."""
    if backend not in (Backend.EAGER, Backend.COMPILE):
        return f"{backend} does not train"
    if precision not in (Precision.FP32, Precision.BF16):
        # The trainer scales no losses, which float16 would need.
        return f"training knows fp32 and bf16, not {precision}"
    if precision is Precision.BF16 and device == "cpu" and not cpu_has_bf16():
        return "this CPU has no bf16 instructions"
    return None
