"""A GPU's own clock: events around the work, without what the host takes to launch it."""

import torch

from glamor_cli.bench.timing import Call

_RUNS = 10
"""Runs between two events: an event's own resolution is about half a microsecond."""
_HEAD_START_CYCLES = 4_000_000
"""About two milliseconds, in which the host queues the runs; else the GPU would wait for it."""


def device_clock(call: Call) -> float:
    """Seconds that a call's work takes on the GPU; the call itself must not wait for it."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    torch.cuda._sleep(_HEAD_START_CYCLES)  # type: ignore[no-untyped-call]
    begin.record()
    for _ in range(_RUNS):
        call()
    end.record()
    torch.cuda.synchronize()
    milliseconds: float = begin.elapsed_time(end)
    return milliseconds / 1e3 / _RUNS
