"""Which device and precision to train in, and whether to the same bits on every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch

from glamor_cli.errors import BackendUnavailable


class Precision(StrEnum):
    """Precision of a training's convolutions and matrix products."""

    AUTO = "auto"
    """bf16 where the hardware has it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"


def choose_device(name: str) -> torch.device:
    """Choose ``cpu``, ``cuda``, or by ``auto`` whichever is there.

    Raises:
        BackendUnavailable: CUDA is asked for and does not work here.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise BackendUnavailable(
            "CUDA was asked for but torch finds no usable GPU",
            "Use --device cpu, or see what glamor doctor says about the driver.",
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def choose_precision(wanted: Precision, device: torch.device, *, mixed: bool = True) -> Precision:
    """Choose fp32 or bf16 where ``auto`` is wanted.

    A CPU without bf16 instructions emulates them six times slower than float32, so ``auto`` looks
    at the hardware. It stays with float32 where the recipe wants no ``mixed`` precision.
    """
    if wanted is not Precision.AUTO:
        return wanted
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
    else:
        cpu = torch.cpu
        has_bf16 = cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported()
    return Precision.BF16 if mixed and has_bf16 else Precision.FP32


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32's convolutions in float32: cuDNN's default is TF32, ten bits of mantissa."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


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
