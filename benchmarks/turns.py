"""A turn of one side in an interleaved comparison; both sides import it, so it imports nothing."""

import time
from collections.abc import Callable

UNTIMED_CALLS = 2
TIMED_CALLS = 5


def take_turn(work: Callable[[], object]) -> float:
    """Work untimed until threads and caches are warm; then give the median call's seconds."""
    for _ in range(UNTIMED_CALLS):
        work()
    times = []
    for _ in range(TIMED_CALLS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return sorted(times)[TIMED_CALLS // 2]
