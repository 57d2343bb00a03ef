"""Timing calls in interleaved rounds: on a shared machine, one after another invents differences.

Each round gives every call a slice of time, and the order rotates.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
Clock = Callable[[Call], float]

_PATIENCE = 5
"""A call that has used this many times its seconds (or one second) may end with three runs."""
_SLICE_SECONDS = 0.05
"""Time for one call in one round; at least one run of it."""


def host_clock(call: Call) -> float:
    """Seconds that a call takes on the host."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def time_interleaved(
    calls: Sequence[Call],
    *,
    seconds: float,
    iterations: int,
    warmup_seconds: float,
    clock: Clock = host_clock,
) -> list[NDArray[np.float64] | Exception]:
    """Time calls against each other.

    Args:
        calls: Each returns when its work is done, on the device too.
        seconds: Measured time for each call, at least.
        iterations: Measured runs of each call, at least, unless it is far too slow for that.
        warmup_seconds: Unmeasured time for each call before; at least one run.
        clock: Runs a call and gives its seconds.

    Returns:
        Seconds of each run, or the exception that a call raised, in the order of the calls.
    """
    times: list[list[float]] = [[] for _ in calls]
    failures: dict[int, Exception] = {}

    def spend(index: int, budget: float, into: list[float]) -> None:
        """Run a call until the budget is spent, at least once."""
        spent = 0.0
        while True:
            try:
                began = time.perf_counter()
                lasted = clock(calls[index])
            except Exception as error:
                # Whatever a backend raises becomes its row, not the end of the others.
                failures[index] = error
                return
            into.append(lasted)
            # By the wall clock, because the given one may see only part of the time.
            spent += time.perf_counter() - began
            if spent >= budget:
                return

    for index in range(len(calls)):
        spend(index, warmup_seconds, [])
    shift = 0
    while True:
        unfinished = [
            index
            for index in range(len(calls))
            if index not in failures and not _is_enough(times[index], seconds, iterations)
        ]
        if not unfinished:
            break
        # All that still run take part, so that each is measured beside all others.
        running = [index for index in range(len(calls)) if index not in failures]
        for position in range(len(running)):
            index = running[(position + shift) % len(running)]
            spend(index, _SLICE_SECONDS, times[index])
        shift += 1
    return [failures.get(index, np.array(times[index])) for index in range(len(calls))]


def _is_enough(times: list[float], seconds: float, iterations: int) -> bool:
    spent = sum(times)
    if spent > _PATIENCE * max(seconds, 1):
        return len(times) >= min(iterations, 3)
    return spent >= seconds and len(times) >= iterations
