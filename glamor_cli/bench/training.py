"""One training step on random pairs: forward, backward, update."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from glamor_cli.bench.config import Backend
from glamor_cli.bench.contenders import Absent, Contender, Entry, Setup
from glamor_cli.network.glamor_net import GlamorNet


def train_contenders(setup: Setup, batch: int) -> Iterator[Entry]:
    """Line up torch's backends and precisions; only they can train."""
    for backend in setup.backends:
        if backend not in (Backend.EAGER, Backend.COMPILE):
            yield Absent(backend, "", f"{backend} does not train")
            continue
        for dtype in (None, torch.bfloat16):
            if dtype is not None and setup.device == "cpu" and not _has_bf16():
                yield Absent(backend, "bf16", "this CPU has no bf16 instructions")
                continue
            precision = "fp32" if dtype is None else "bf16"
            step = _training_step(setup, batch, dtype, compiled=backend is Backend.COMPILE)
            yield Contender(backend, setup.device, precision, setup.device, step, lambda _: None)


def _training_step(
    setup: Setup, batch: int, dtype: torch.dtype | None, *, compiled: bool
) -> Callable[[], object]:
    """Make a step of SGD with momentum, the loss read back as a trainer does."""
    network: GlamorNet = copy.deepcopy(setup.network).to(memory_format=torch.channels_last)
    network = network.to(setup.device).train()
    if compiled:
        network.compile(dynamic=False)
    # A rate of zero: the same work, and weights that do not run away over thousands of steps.
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
    pairs = setup.pairs(batch)
    face, context = (
        torch.from_numpy(values).to(setup.device).contiguous(memory_format=torch.channels_last)
        for values in (pairs.face, pairs.context)
    )
    labels = torch.arange(batch, device=setup.device) % network.config.classes

    def step() -> float:
        with torch.autocast(setup.device, dtype or torch.bfloat16, enabled=dtype is not None):
            logits = network(face, context).logits.float()
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        value = float(loss.detach())
        if setup.device == "cuda":
            torch.cuda.synchronize()
        return value

    return step


def _has_bf16() -> bool:
    cpu = torch.cpu
    return cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported()
