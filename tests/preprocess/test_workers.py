"""Tasks on processes: their order, and what becomes of them when processes die."""

import os
import signal
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glamor_cli.data.preprocess import workers
from glamor_cli.data.preprocess.workers import Workers, process_pool, run_in_order
from glamor_cli.errors import BackendUnavailable, DataError


def double(items):
    return [2 * item for item in items]


def double_or_die(items):
    """Numbers above 100 kill whoever touches them, as a file may that breaks a decoder."""
    if max(items) > 100:
        os._exit(1)
    return double(items)


def double_or_die_once(items):
    """A path kills the first that touches it, as the system does to a process in a bad moment."""
    for item in items:
        if isinstance(item, Path) and item.exists():
            item.unlink()
            os._exit(1)
    return [str(item) for item in items]


def double_or_die_while_sending(items):
    """A path has the first that touches it killed with half of a result sent."""
    for item in items:
        if isinstance(item, Path) and item.exists():
            item.unlink()
            connection = sys._getframe(2).f_locals["connection"]
            os.write(connection.fileno(), struct.pack("!i", 1_000_000) + b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    return [str(item) for item in items]


def lost(item):
    return f"lost {item}"


def test_results_keep_the_order_and_tasks_are_read_only_so_far_ahead():
    read = []

    def tasks():
        for number in range(50):
            read.append(number)
            yield (number,)

    with ThreadPoolExecutor(2) as executor:
        results = run_in_order(double, tasks(), Workers(executor, lambda: 2), lost=lost)
        assert next(results) == [0]
        assert len(read) == 6
        assert list(results) == [[2 * number] for number in range(1, 50)]


def test_an_item_that_kills_its_process_is_lost_alone():
    with process_pool(2) as pool:
        tasks = [(1, 2), (3, 101, 4), (5,), (6, 7)]
        results = list(run_in_order(double_or_die, tasks, pool, lost=lost))
    assert results == [[2, 4], [6, "lost 101", 8], [10], [12, 14]]


def test_a_death_for_another_reason_loses_nothing(tmp_path):
    mine = tmp_path / "mine"
    mine.touch()
    tasks = [(1, 2), (3, mine), (4,)]
    with process_pool(1) as pool:
        results = list(run_in_order(double_or_die_once, tasks, pool, lost=lost))
    assert results == [["1", "2"], ["3", str(mine)], ["4"]]


def test_a_run_of_deaths_is_an_error_not_a_store_of_failures(monkeypatch):
    monkeypatch.setattr(workers, "_MOST_KILLERS", 0)
    with process_pool(1) as pool, pytest.raises(DataError, match="1 images have killed") as error:
        list(run_in_order(double_or_die, [(101,)], pool, lost=lost))
    assert "fewer --workers" in error.value.remedy


def test_workers_that_cannot_even_start_are_an_error():
    class Refusing(ThreadPoolExecutor):
        def submit(self, *_, **__):
            raise OSError("no more processes")

    with Refusing(1) as executor:
        broken = Workers(executor, lambda: 1, deaths=(OSError,))
        with pytest.raises(DataError, match="end before they do any work"):
            list(run_in_order(double, [(1,)], broken, lost=lost))


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of open files")
def test_a_limit_that_keeps_workers_from_starting_is_told():
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with process_pool(1) as pool, Path(os.devnull).open() as lowest_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), before[1]))
        try:
            with pytest.raises(BackendUnavailable, match="Too many open files") as error:
                list(run_in_order(double, [(1,)], pool, lost=lost))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "ulimit -n" in error.value.remedy


@pytest.mark.skipif(sys.platform == "win32", reason="sends otherwise")
@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_killed_while_it_sends_does_not_hang_the_others(tmp_path, count):
    trigger = tmp_path / "trigger"
    trigger.touch()
    tasks = [(number,) for number in range(10)]
    tasks[4] = (trigger,)
    with process_pool(count) as pool:
        results = list(run_in_order(double_or_die_while_sending, tasks, pool, lost=lost))
    assert results == [[str(item)] for (item,) in tasks]
