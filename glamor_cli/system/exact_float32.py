"""Float32 without TF32 or bfloat16, whose ten and seven bits of mantissa would move answers."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in float32, whatever the program around allows.

    cuDNN's default is TF32, and containers and programs allow it for matrix products too.
    """
    backends: Any = torch.backends  # whose annotations lack these
    parts = (
        backends.cudnn.conv,
        backends.cudnn.rnn,
        backends.cuda.matmul,
        backends.mkldnn.conv,
        backends.mkldnn.matmul,
    )
    before = [part.fp32_precision for part in parts]
    try:
        with ExitStack() as older:
            # Else the program around could no longer read these in the meantime.
            for switch in (_without_cudnn_tf32, _with_exact_products):
                # Where it has changed the newer ones alone it cannot anyway.
                with suppress(RuntimeError):
                    older.enter_context(switch())
            for part in parts:
                part.fp32_precision = "ieee"
            yield
    finally:
        for part, precision in zip(parts, before, strict=True):
            part.fp32_precision = precision


@contextmanager
def exact_float32_for_compilers() -> Iterator[None]:
    """Do as ``exact_float32`` by torch's older switches, which ``torch.compile`` reads.

    Reading them raises where the newer ones alone were changed, and so would entering this in a
    program that has changed those.
    """
    with _without_cudnn_tf32(), _with_exact_products():
        yield


@contextmanager
def _without_cudnn_tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def _with_exact_products() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
