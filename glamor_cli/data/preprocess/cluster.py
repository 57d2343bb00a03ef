"""Dask clusters as workers. Scheduling is Dask's; all that is here is the way in.

Every worker needs the same packages, and the data set at the same path; only the process that
runs ``preprocess`` writes the store.
"""

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from glamor_cli.data.preprocess.workers import Workers
from glamor_cli.errors import ConfigError, reason_of
from glamor_cli.system.extras import importing, install_extra

if TYPE_CHECKING:
    from distributed import Client

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_CONNECT_SECONDS = 20
_WORKER_SECONDS = 60
_COUNT_SECONDS = 5.0
_THEIR_LOGGERS = ("distributed", "distributed.client", "tornado.application")
"""Dask gives some of them a level of their own."""


@contextmanager
def dask_workers(
    address: str, on_no_worker: Callable[[], None] = lambda: None
) -> Iterator[Workers]:
    """Lend the workers of a running Dask cluster; those that join later are used too.

    Args:
        address: Of its scheduler: ``tcp://host:8786``.
        on_no_worker: Called, perhaps from another thread, when the cluster has no worker; the
            work then waits for one.

    Raises:
        BackendUnavailable: Dask is not installed.
        ConfigError: No scheduler answers at the address, no worker comes, or one lacks glamor.
    """
    with importing("distributed", "Dask is not installed", install_extra("cluster")):
        import distributed
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.scheduler import KilledWorker

    class Client(distributed.Client):  # type: ignore[misc]
        """Is closed by us alone: one that was interrupted while it connects never can be."""

        def __del__(self) -> None:
            pass

    # A lost scheduler is reported by one error of ours, not by a page of theirs.
    for name in _THEIR_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        # A client that cannot even parse its address leaves a thread behind.
        parse_host_port(parse_address(address)[1])
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({reason_of(error)})",
            "Give the address that dask scheduler prints, as in --dask tcp://host:8786.",
        ) from error
    with client:
        _check_workers(client, address, on_no_worker)
        with _watched(client, on_no_worker):
            yield Workers(ClusterExecutor(client), _counter(client), deaths=(KilledWorker,))


class ClusterExecutor(Executor):
    """Runs tasks on a cluster.

    Dask's own executor asks how a task has ended only after its result is here. If the worker that
    had the result has died by then, it takes the result for an error.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    def submit(
        self,
        function: Callable[Parameters, Result],
        /,
        *arguments: Parameters.args,
        **options: Parameters.kwargs,
    ) -> "Future[Result]":
        """Run a function with its arguments on a worker; all of them can be pickled."""
        # Not pure: else equal tasks would share one result, and Dask would hash every task.
        theirs = self._client.submit(function, *arguments, pure=False, **options)
        ours: Future[Result] = Future()
        ours.add_done_callback(lambda ended: theirs.cancel() if ended.cancelled() else None)
        self._client.loop.add_callback(_pass_on, theirs, ours)
        return ours


async def _pass_on(theirs: Any, ours: "Future[Result]") -> None:
    """Wait for Dask's future, in its loop, and let ours end as it does."""
    try:
        result = await theirs._result()
    except CancelledError:
        ours.cancel()
        ours.set_running_or_notify_cancel()  # or nobody who waits would hear of it
    except Exception as error:
        ours.set_exception(error)
    else:
        ours.set_result(result)


def _check_workers(client: "Client", address: str, on_no_worker: Callable[[], None]) -> None:
    """Make sure that work has somewhere to go: Dask would wait for ever without a word."""
    if not client.nthreads():
        on_no_worker()
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        raise ConfigError(
            f"the Dask cluster at {address} has no workers",
            f"Start some with: dask worker {address}",
        ) from error
    # By a function of Python's own, which even a worker without glamor can look up.
    found = client.run(importlib.import_module, "glamor_cli", on_error="return")
    for worker, answer in found.items():
        if isinstance(answer, ImportError):
            raise ConfigError(
                f"glamor is not installed for the Dask worker {worker} ({reason_of(answer)})",
                "Install the same version, with its extra cluster, on every machine.",
            )


@contextmanager
def _watched(client: "Client", on_no_worker: Callable[[], None]) -> Iterator[None]:
    """Tell, once each time, when the last worker has left."""
    ended = threading.Event()

    def watch() -> None:
        alone = False
        # Whoever waits for results hears of a lost scheduler.
        with suppress(Exception):
            while not ended.wait(_COUNT_SECONDS):
                before, alone = alone, not client.nthreads()
                if alone and not before:
                    on_no_worker()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _counter(client: "Client") -> Callable[[], int]:
    """Count the threads of all workers, asking the scheduler now and then."""
    known, asked = 1, float("-inf")

    def count() -> int:
        nonlocal known, asked
        if time.monotonic() - asked > _COUNT_SECONDS:
            known, asked = sum(client.nthreads().values()), time.monotonic()
        return known

    return count
