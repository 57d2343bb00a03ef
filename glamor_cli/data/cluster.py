"""Dask clusters as workers. Scheduling is Dask's; all that is here is the way in.

Every worker needs the same packages, and the data set at the same path; only the process that
runs ``preprocess`` writes the store.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from glamor_cli.data.workers import Workers
from glamor_cli.errors import BackendUnavailable, ConfigError
from glamor_cli.extras import install_extra
from glamor_cli.reasons import reason_of

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_SECONDS = 20
_COUNT_SECONDS = 5.0


@contextmanager
def dask_workers(address: str) -> Iterator[Workers]:
    """Lend the workers of a running Dask cluster; those that join later are used too.

    Args:
        address: Of its scheduler: ``tcp://host:8786``.

    Raises:
        BackendUnavailable: Dask is not installed.
        ConfigError: No scheduler answers at the address.
    """
    try:
        import distributed
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise BackendUnavailable("Dask is not installed", install_extra("cluster")) from error
    # A lost scheduler is reported by one error of ours, not by a page of theirs.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        # A client that cannot even parse its address leaves a thread behind.
        parse_host_port(parse_address(address)[1])
        client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({reason_of(error)})",
            "Give the address that dask scheduler prints, as in --dask tcp://host:8786.",
        ) from error
    with client:
        # Not pure: else equal tasks would share one result, and Dask would hash every task.
        executor = client.get_executor(pure=False)
        yield Workers(executor, _counter(client), deaths=(KilledWorker,))
        executor.shutdown(wait=False)


def _counter(client: "Client") -> Callable[[], int]:
    """Count the threads of all workers, asking the scheduler now and then."""
    known, asked = 1, float("-inf")

    def count() -> int:
        nonlocal known, asked
        if time.monotonic() - asked > _COUNT_SECONDS:
            known, asked = sum(client.nthreads().values()), time.monotonic()
        return known

    return count
