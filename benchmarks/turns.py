"""Taking turns in an interleaved comparison; both sides import it, so it imports nothing."""

import time
from collections.abc import Callable, Iterable

UNTIMED_SECONDS = 0.1
"""Threads that slept are woken on one core, and the scheduler takes some tens of milliseconds to
spread them."""
UNTIMED_CALLS = 2
TIMED_CALLS = 5


def in_turn(names: Iterable[str], turn: int) -> list[str]:
    """Who comes after whom in this turn: another goes first in each."""
    order = list(names)
    first = turn % len(order)
    return order[first:] + order[:first]


def take_turn(work: Callable[[], object]) -> float:
    """Work untimed until threads and caches are warm; then give the median call's seconds."""
    awake = time.perf_counter() + UNTIMED_SECONDS
    calls = 0
    while calls < UNTIMED_CALLS or time.perf_counter() < awake:
        work()
        calls += 1
    times = []
    for _ in range(TIMED_CALLS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return sorted(times)[TIMED_CALLS // 2]
