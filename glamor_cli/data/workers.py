"""Running tasks on processes or a cluster: in order, with bounded memory, and stopping cleanly."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TypeVar

from glamor_cli.errors import DataError

Task = TypeVar("Task")
Result = TypeVar("Result")


@contextmanager
def process_pool(workers: int) -> Iterator[Executor]:
    """Lend a pool of fresh local processes; on an error or Ctrl-C, what has not begun is dropped.

    Args:
        workers: How many processes.
    """
    # Spawned, not forked: a fork would copy the state of native threads without the threads.
    pool = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def run_in_order(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    executor: Executor | None,
    *,
    ahead: int,
) -> Iterator[Result]:
    """Run a function over tasks and yield the results in the tasks' order.

    Args:
        function: What to run; it and the tasks can be pickled.
        tasks: A stream; it is read only ``ahead`` of the results.
        executor: Where to run; None means here and now.
        ahead: How many tasks may be under way or wait for an earlier one.

    Raises:
        DataError: A worker died.
    """
    if executor is None:
        yield from map(function, tasks)
        return
    pending: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            pending.append(executor.submit(function, task))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenExecutor as error:
        raise DataError(
            "a worker process died, perhaps for want of memory",
            "Run the same command again, with fewer --workers: it goes on from here.",
        ) from error
    finally:
        for future in pending:
            future.cancel()


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
