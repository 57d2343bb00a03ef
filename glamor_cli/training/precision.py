"""Which numbers to train in, and whether to the same bits on every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from glamor_cli.settings import choose
from glamor_cli.training.options import TrainPrecision


def cpu_has_bf16() -> bool:
    """Say whether this CPU multiplies bf16 matrices itself."""
    cpu = torch.cpu
    return cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported()


def gpu_has_bf16() -> bool:
    """Say whether this GPU multiplies bf16 matrices itself; those before Ampere emulate them."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def choose_precision(
    wanted: TrainPrecision, device: torch.device, *, mixed: bool = True
) -> TrainPrecision:
    """Choose fp32 or bf16 where ``auto`` is wanted.

    Hardware without bf16 instructions emulates them, which is far slower than float32, so ``auto``
    looks at the hardware. It stays with float32 where the recipe wants no ``mixed`` precision.

    Raises:
        ConfigError: There is no such precision.
    """
    wanted = choose(TrainPrecision, wanted, "precision")
    if wanted is not TrainPrecision.AUTO:
        return wanted
    has_bf16 = gpu_has_bf16() if device.type == "cuda" else cpu_has_bf16()
    return TrainPrecision.BF16 if mixed and has_bf16 else TrainPrecision.FP32


@contextmanager
def repeatable(wanted: bool) -> Iterator[None]:
    """Let torch use only algorithms that give the same bits on every run, where ``wanted``.

    On the CPU they do in any case. On a GPU, torch takes another algorithm or raises where it has
    none, cuDNN chooses by its rules and not by what was faster just now, and cuBLAS keeps to a
    workspace of a fixed size. cuBLAS reads that setting when it is first used: before that, this
    must have been entered. A setting of the caller's is left as it is.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    measures = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        torch.backends.cudnn.benchmark = measures
