"""A pool of processes, any of which may be killed at any moment.

Every process has a pipe and a thread of its own and shares no lock with the others. The standard
library's pool has one pipe for all results: a process killed while it sends leaves it locked, with
half a result in it, and the rest wait for ever.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from glamor_cli.errors import ConfigError
from glamor_cli.system.stop_signals import TERMINAL_SIGNALS

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

GUARD = 'if __name__ == "__main__":'
"""What keeps a new process, which imports the program first, from running all of it."""
_NAME = "glamor-worker"
_RAN_THE_PROGRAM = 79
"""Exit code of a worker that came to ask for workers itself."""


class WorkerDiedError(BrokenExecutor):
    """The process that ran a task is gone; the pool goes on with another."""


class ProcessPool(Executor):
    """Runs tasks in fresh processes, begun when they are first needed.

    A future raises what its task raised, with the worker's traceback as a note,
    ``WorkerDiedError`` if its process was killed or could not be begun, or ``ConfigError`` if that
    ran the program instead, which lacks the line ``if __name__ == "__main__":``.

    Args:
        count: How many processes.

    Raises:
        ConfigError: The program is in no file, so that no process can import it, or this process is
            daemonic, which may have no children: those of ``multiprocessing.Pool`` are.
    """

    def __init__(self, count: int) -> None:
        if multiprocessing.current_process().daemon:
            raise ConfigError(
                "a daemonic process, such as one of multiprocessing.Pool, cannot start workers",
                "Set workers=1, or call from the program's first process.",
            )
        main = get_preparation_data(_NAME).get("init_main_from_path")
        if main is not None and not Path(main).exists():
            raise ConfigError(
                "worker processes must import the program, but it is not in a file",
                f"Save it as a script with the call under `{GUARD}`, or set workers=1.",
            )
        self._threads = ThreadPoolExecutor(count)
        self._lock = threading.Lock()
        self._own = threading.local()
        self._workers: set[_Worker] = set()
        self._closed = False

    def submit(
        self,
        function: Callable[Parameters, Result],
        /,
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> "Future[Result]":
        """Run a function with its arguments in a process; all of them can be pickled."""
        return self._threads.submit(self._run, function, arguments, options)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """End all processes.

        Args:
            wait: Not heeded: no process outlives this call.
            cancel_futures: Drop what has not begun, and kill what runs, instead of waiting for it.
        """
        self._threads.shutdown(wait=not cancel_futures, cancel_futures=cancel_futures)
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        # Whoever still has a process is idle or not wanted any more.
        for worker in workers:
            worker.process.kill()
        self._threads.shutdown()
        for worker in workers:
            worker.end()

    def _run(self, function: Callable[..., Result], arguments: Any, options: Any) -> Result:
        """Run a task in the process of this thread."""
        try:
            worker = self._worker()
            worker.connection.send((function, arguments, options))
            succeeded, answer = worker.connection.recv()
        except (EOFError, OSError) as error:
            if self._drop_worker() == _RAN_THE_PROGRAM:
                raise ConfigError(
                    f"the program starts worker processes without `{GUARD}`, so each of them "
                    "started to run the whole program again",
                    f"Put the call under `{GUARD}`, or set workers=1.",
                ) from None
            raise WorkerDiedError("a worker process was killed, or could not be started") from error
        if not succeeded:
            raise answer
        result: Result = answer
        return result

    def _worker(self) -> "_Worker":
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            with self._lock:
                if self._closed:
                    raise OSError("the pool is shut down")
                worker = self._own.worker = _Worker.begin()
                self._workers.add(worker)
            worker.wait_for_it()
        return worker

    def _drop_worker(self) -> int | None:
        """Give up this thread's process; give its exit code, if it had one."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            return None
        self._own.worker = None
        with self._lock:
            if self._closed:
                return None
            self._workers.discard(worker)
        # Of one that has ended, the exit code must stay as it is.
        if worker.process.is_alive():
            worker.process.kill()
        worker.end()
        return worker.process.exitcode


@dataclass(frozen=True, eq=False)
class _Worker:
    """A process, and this side's end of its pipe."""

    process: BaseProcess
    connection: "Connection[Any, Any]"

    @classmethod
    def begin(cls) -> "_Worker":
        # Spawned, not forked: a fork would copy the state of native threads without the threads.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with theirs:
            process = context.Process(target=_serve, args=(theirs,), name=_NAME, daemon=True)
            _leave_interrupts_to_others()
            try:
                process.start()
            except BaseException:
                ours.close()
                raise
        return cls(process, ours)

    def wait_for_it(self) -> None:
        """Wait until it serves.

        On Windows a process takes its end of the pipe late, and if it dies before, that end stays
        open: to read from ours or to write to it could then wait forever.

        Raises:
            EOFError: It has ended instead.
        """
        wait([self.connection, self.process.sentinel])
        if not self.connection.poll():
            raise EOFError
        self.connection.recv_bytes()

    def end(self) -> None:
        """Wait for the killed process, and close the pipe."""
        self.process.join()
        self.connection.close()


def leave_if_worker() -> None:
    """End a worker process that runs the program instead of importing it: `GUARD` is missing.

    To be called before anything is done that needs workers. The pool tells what is wrong, once.
    """
    process = multiprocessing.current_process()
    if process.name == _NAME and getattr(process, "_inheriting", False):
        os._exit(_RAN_THE_PROGRAM)


def _leave_interrupts_to_others() -> None:
    """Let no Ctrl-C or SIGHUP reach this thread, nor, ever, the processes that it begins."""
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        # Whoever begins this process of the standard library's gets its signals unblocked.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL_SIGNALS)


def _serve(connection: "Connection[Any, Any]") -> None:
    """Run task after task, in a process of its own, until the other side is gone."""
    for number in TERMINAL_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    with suppress(EOFError, OSError):
        connection.send_bytes(b"begun")
        while True:
            connection.send_bytes(_answer(connection.recv_bytes()))


def _answer(message: bytes) -> bytes:
    """Run one task; give whether it succeeded, and its result or what it raised, pickled."""
    pickler = multiprocessing.reduction.ForkingPickler
    try:
        function, arguments, options = pickler.loads(message)
        return bytes(pickler.dumps((True, function(*arguments, **options))))
    except Exception as error:
        trace = traceback.format_exc()
        error.add_note(f"In a worker process:\n{trace}")
        try:
            return bytes(pickler.dumps((False, error)))
        except Exception:
            return bytes(pickler.dumps((False, RuntimeError(trace))))


def _end_with(sentinel: int) -> None:
    """End this process with its parent, even if that is killed in the middle of a task."""
    wait([sentinel])
    os._exit(1)
