"""A GPU's own clock: events around the work, without what the host takes to launch it."""

import time

import torch

from glamor_cli.system.timing import Call

_RUNS = 10
"""Runs between two events: an event's own resolution is about half a microsecond."""
_HEAD_START_SECONDS = 2e-3
"""In which the host queues the runs; else the GPU would wait for it, and its time be measured."""
_LONGEST_HEAD_START = 0.03
"""No more: the driver holds the host back at about a thousand launches, however long it waits."""
_CYCLES_PER_SECOND = 2e9
"""At most; with a slower clock the head start is only longer."""


def device_clock(call: Call) -> float:
    """Seconds that a call's work takes on the GPU; the call itself must not wait for it."""
    head_start = _HEAD_START_SECONDS
    while True:
        queueing, working = _time(call, head_start)
        if queueing < head_start or head_start == _LONGEST_HEAD_START:
            return working
        head_start = min(2 * queueing, _LONGEST_HEAD_START)


def _time(call: Call, head_start: float) -> tuple[float, float]:
    """Seconds that the host takes to queue the runs, and that the GPU takes for one."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    torch.cuda._sleep(round(head_start * _CYCLES_PER_SECOND))  # type: ignore[no-untyped-call]
    began = time.perf_counter()
    begin.record()
    for _ in range(_RUNS):
        call()
    end.record()
    queueing = time.perf_counter() - began
    torch.cuda.synchronize()
    return queueing, begin.elapsed_time(end) / 1e3 / _RUNS
