"""Running tasks on processes or a cluster: in order, with bounded memory, whoever dies."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from glamor_cli.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Tasks under way for each worker: enough that none waits, few enough to hold in memory.
_TASKS_PER_WORKER = 3
_MOST_KILLERS = 10
_LOOK_SECONDS = 0.5
_NOTICE_SECONDS = 2.0
"""A pool that can notice a worker's death has done so long before."""


class Workers:
    """Where tasks are run: any executor, and what is known of it.

    Args:
        executor: Runs what it is given.
        count: How many tasks it runs at once; asked anew all the time, for clusters grow.
        deaths: What its futures raise when the worker that ran them died.
        renew: Makes a new executor after a death; None for one that goes on by itself.
    """

    def __init__(
        self,
        executor: Executor,
        count: Callable[[], int],
        *,
        deaths: tuple[type[BaseException], ...] = (BrokenExecutor,),
        renew: Callable[[], Executor] | None = None,
    ) -> None:
        self.executor = executor
        self.deaths = deaths
        self._count = count
        self._renew = renew

    @property
    def ahead(self) -> int:
        """How many tasks may be under way or wait for an earlier one."""
        return _TASKS_PER_WORKER * max(1, self._count())

    def renew(self) -> None:
        """Make ready for more tasks after a death.

        Raises:
            DataError: Workers die whatever they run.
        """
        if self._renew is not None:
            self.executor = self._renew()
        try:
            self.executor.submit(_nothing).result()
        except self.deaths as error:
            raise DataError(
                "worker processes die before they do anything",
                "Look for the reason in what they printed; what is stored already is kept.",
            ) from error


@contextmanager
def process_pool(workers: int) -> Iterator[Workers]:
    """Lend a pool of fresh local processes; on an error or Ctrl-C, what has not begun is dropped.

    Args:
        workers: How many processes.
    """
    # Spawned, not forked: a fork would copy the state of native threads without the threads.
    context = multiprocessing.get_context("spawn")
    pools: list[Executor] = []

    def renew() -> Executor:
        shut_down()
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
        threading.Thread(target=_watch, args=(pool,), daemon=True).start()
        pools.append(pool)
        return pool

    def shut_down() -> None:
        while pools:
            pools.pop().shutdown(cancel_futures=True)

    try:
        yield Workers(renew(), lambda: workers, renew=renew)
    finally:
        shut_down()


def run_in_order(
    function: Callable[[tuple[Item, ...]], list[Result]],
    tasks: Iterable[tuple[Item, ...]],
    workers: Workers | None,
    *,
    lost: Callable[[Item], Result],
) -> Iterator[list[Result]]:
    """Run a function over tasks, each of several items, and yield the results in their order.

    A worker that dies takes nothing along: what it ran is run again, with nothing beside it and
    at last item by item, so that only an item that kills whoever touches it is lost.

    Args:
        function: What to run; it and the tasks can be pickled. It gives a result for each item.
        tasks: A stream; it is read only a few tasks ahead of the results.
        workers: Where to run; None means here and now.
        lost: Gives the result of an item whose worker died every time.

    Raises:
        DataError: Workers die whatever they run, too many items kill them, or the cluster is gone.
    """
    if workers is None:
        yield from map(function, tasks)
        return
    yield from _Run(function, workers, lost).results(tasks)


class _Run(Generic[Item, Result]):
    """The state of one ``run_in_order``."""

    def __init__(
        self,
        function: Callable[[tuple[Item, ...]], list[Result]],
        workers: Workers,
        lost: Callable[[Item], Result],
    ) -> None:
        self._function = function
        self._workers = workers
        self._lost = lost
        self._killers = 0
        self._pending: deque[tuple[tuple[Item, ...], Future[list[Result]]]] = deque()

    def results(self, tasks: Iterable[tuple[Item, ...]]) -> Iterator[list[Result]]:
        try:
            for task in tasks:
                self._pending.append((task, self._submit(task)))
                while len(self._pending) >= self._workers.ahead:
                    yield from self._next()
            while self._pending:
                yield from self._next()
        except CancelledError as error:
            raise DataError(
                "the cluster has dropped the work",
                "Look whether its scheduler is alive, and run the same command again: it goes on "
                "from here.",
            ) from error
        finally:
            for _, future in self._pending:
                future.cancel()

    def _submit(self, task: tuple[Item, ...]) -> Future[list[Result]]:
        # A pool that broke since the last result refuses; the future then tells, in its turn.
        try:
            return self._workers.executor.submit(self._function, task)
        except self._workers.deaths as error:
            refused: Future[list[Result]] = Future()
            refused.set_exception(error)
            return refused

    def _next(self) -> Iterator[list[Result]]:
        """Yield the oldest result; after a death all, so that nothing is run beside suspects."""
        try:
            result = self._pending[0][1].result()
        except self._workers.deaths:
            self._workers.renew()
            while self._pending:
                task, future = self._pending.popleft()
                yield self._again(task, future)
        else:
            self._pending.popleft()
            yield result

    def _again(self, task: tuple[Item, ...], future: Future[list[Result]]) -> list[Result]:
        with suppress(*self._workers.deaths):
            return future.result()
        with suppress(*self._workers.deaths):
            return self._submit(task).result()
        self._workers.renew()
        results: list[Result] = []
        for item in task:
            try:
                results += self._submit((item,)).result()
            except self._workers.deaths as error:
                self._workers.renew()
                self._killers += 1
                if self._killers > _MOST_KILLERS:
                    raise DataError(
                        f"{self._killers} images have killed the processes that read them, "
                        "perhaps for want of memory",
                        "Run the same command again, with fewer --workers: it goes on from here.",
                    ) from error
                results.append(self._lost(item))
        return results


def _watch(pool: ProcessPoolExecutor) -> None:
    """Break a pool that does not notice a death itself.

    A worker killed in the middle of sending a result leaves half of it in the pipe, and its lock
    taken: the pool then waits for the other half, and the other workers for the lock, for ever. The
    pipe ends when nobody is left who could write into it, the pool's own end included.
    """
    while (processes := pool._processes) is not None:
        sentinels = [process.sentinel for process in list(processes.values())]
        if not wait(sentinels, _LOOK_SECONDS):
            if not sentinels:
                time.sleep(_LOOK_SECONDS)
            continue
        time.sleep(_NOTICE_SECONDS)
        # The pool's thread cannot end without this lock, and only after its end does a shutdown
        # close the pipe: closed twice at once, it would be a file that another thread has opened.
        with pool._shutdown_lock:
            if pool._processes is None or pool._broken:
                return
            for process in list(pool._processes.values()):
                process.kill()
            pool._result_queue._writer.close()  # type: ignore[attr-defined]
        return


def _nothing() -> None:
    """Show that a worker lives."""


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
