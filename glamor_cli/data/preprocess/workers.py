"""Running tasks on processes or a cluster: in order, with bounded memory, whoever dies."""

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

from glamor_cli.data.preprocess.process_pool import GUARD, ProcessPool
from glamor_cli.errors import BackendUnavailable, DataError, reason_of

Item = TypeVar("Item")
Result = TypeVar("Result")

# Tasks under way for each worker: enough that none waits, few enough to hold in memory.
_TASKS_PER_WORKER = 3
_MOST_KILLERS = 10
_LIMITS = {errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What beginning a process fails with where a limit of the system's is reached."""


class Workers:
    """Where tasks are run: any executor, and what is known of it.

    Args:
        executor: Runs what it is given.
        count: How many tasks it runs at once; asked anew every time, because clusters grow.
        deaths: What its futures raise when the worker that ran them died; it goes on without.
    """

    def __init__(
        self,
        executor: Executor,
        count: Callable[[], int],
        *,
        deaths: tuple[type[BaseException], ...] = (BrokenExecutor,),
    ) -> None:
        self.executor = executor
        self.deaths = deaths
        self._count = count

    @property
    def ahead(self) -> int:
        """How many tasks may be under way or wait for an earlier one."""
        return _TASKS_PER_WORKER * max(1, self._count())

    def check(self) -> None:
        """Make sure, after a death, that some workers are alive.

        Raises:
            DataError: Workers die whatever they run.
            BackendUnavailable: The system lets none be started.
        """
        try:
            self.executor.submit(_nothing).result()
        except self.deaths as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno in _LIMITS:
                raise BackendUnavailable(
                    f"not all worker processes can be started: {reason_of(cause)}",
                    "Give fewer --workers, or raise the limit of processes (ulimit -u, "
                    "--pids-limit), of open files (ulimit -n) or of memory.",
                ) from error
            raise DataError(
                "worker processes end before they do any work",
                "See their own messages for the reason; what is stored already is kept. In a "
                f"script, put the call under `{GUARD}`, or set workers=1.",
            ) from error


@contextmanager
def process_pool(workers: int) -> Iterator[Workers]:
    """Lend a pool of fresh local processes; what is not done when it is given back is dropped.

    Args:
        workers: How many processes. They import the program first: what it is to do belongs under
            ``if __name__ == "__main__":``.

    Raises:
        ConfigError: The program is in no file, so that no process can import it, or this process is
            daemonic.
    """
    pool = ProcessPool(workers)
    try:
        yield Workers(pool, lambda: workers)
    finally:
        pool.shutdown(cancel_futures=True)


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
        BackendUnavailable: The system lets no more of them be started.
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
                "the cluster has cancelled the work",
                "Check that its scheduler is alive, and run the same command again: it goes on "
                "from here.",
            ) from error
        finally:
            for _, future in self._pending:
                future.cancel()

    def _submit(self, task: tuple[Item, ...]) -> Future[list[Result]]:
        # An executor may refuse at once; the future then tells, in its turn.
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
            wait(future for _, future in self._pending)
            self._workers.check()
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
        self._workers.check()
        results: list[Result] = []
        for item in task:
            try:
                results += self._submit((item,)).result()
            except self._workers.deaths as error:
                self._workers.check()
                self._killers += 1
                if self._killers > _MOST_KILLERS:
                    raise DataError(
                        f"{self._killers} images have killed the processes that read them, "
                        "perhaps because there was not enough memory",
                        "Run the same command again, with fewer --workers: it goes on from here.",
                    ) from error
                results.append(self._lost(item))
        return results


def _nothing() -> None:
    """Show that a worker lives."""
