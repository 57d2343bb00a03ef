"""The floor under a time: what must be moved and computed, over what this hardware was measured at.

The rates are measured, not read from a data sheet: a large copy, counting bytes read and bytes
written, and large matrix products of random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glamor_cli.bench.device_clock import device_clock
from glamor_cli.bench.options import Precision
from glamor_cli.system.timing import host_clock

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.FP16: torch.float16,
    Precision.BF16: torch.bfloat16,
}
_PRODUCTS = {"cpu": (512, 1024), "cuda": (4096, 8192)}
"""Sides of the square matrices; the best of them counts."""
_COPY_BYTES = {"cpu": 1 << 27, "cuda": 1 << 30}
"""Several times the caches."""
_REPEATS = 5


@dataclass(frozen=True)
class Work:
    """What one call cannot do without.

    Attributes:
        bytes: Each input and weight read once, each answer written once.
        operations: Multiplications and additions of its products and convolutions.
    """

    bytes: int
    operations: int


@dataclass(frozen=True)
class Rates:
    """What the hardware was measured at, a second."""

    bytes: float
    operations: float

    def floor(self, work: Work) -> tuple[float, str]:
        """Seconds that the work takes at least, and which of the two decides."""
        moving, computing = work.bytes / self.bytes, work.operations / self.operations
        return (moving, "bytes") if moving > computing else (computing, "operations")


def count_work(module: nn.Module, *inputs: Tensor, itemsize: int = 4) -> Work:
    """Count what a module must do for inputs.

    Args:
        module: In evaluation mode; gives tensors.
        inputs: As many samples as a call has.
        itemsize: Bytes of a number in weights and inputs; answers are float32.
    """
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        answers = module(*inputs)
    weights = {id(value): value.numel() for value in module.parameters()}
    numbers = sum(weights.values()) + sum(values.numel() for values in inputs)
    written = sum(values.numel() for values in answers)
    return Work(numbers * itemsize + written * 4, counter.get_total_flops())


@cache
def measure_rates(device: str, precision: Precision, threads: int) -> Rates:
    """Measure memory's bandwidth and the fastest matrix product.

    Args:
        device: ``cpu`` or ``cuda``.
        precision: Of the product, FP32, FP16 or BF16. CPUs compute FP16 in float32, and torch's
            emulated product of it would be no ceiling: there it is FP32's.
        threads: CPU threads that torch was set to; part of what is remembered.
    """
    del threads
    in_fp32 = device == "cpu" and precision is Precision.FP16
    dtype = torch.float32 if in_fp32 else DTYPES[precision]
    source = torch.rand(_COPY_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    moved = 2 * source.numel() * source.element_size()
    bandwidth = moved / _best(device, lambda: target.copy_(source))
    rates = []
    for side in _PRODUCTS[device]:
        left, right = (torch.rand(side, side, device=device).to(dtype) - 0.5 for _ in range(2))
        product = torch.empty_like(left)

        def multiply(left: Tensor = left, right: Tensor = right, out: Tensor = product) -> object:
            return torch.mm(left, right, out=out)

        rates.append(2 * side**3 / _best(device, multiply))
    return Rates(bandwidth, max(rates))


def _best(device: str, call: Callable[[], object]) -> float:
    """The shortest of several times: a ceiling is what the hardware can, not what it did today."""
    clock = device_clock if device == "cuda" else host_clock
    call()
    return min(clock(call) for _ in range(_REPEATS))
