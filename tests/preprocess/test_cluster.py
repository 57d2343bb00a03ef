"""Preprocessing on a Dask cluster: a scheduler and two workers as processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest
from small_data_sets import tree, write_authors_data_set
from typer.testing import CliRunner
from waiting import size, wait_until

from glamor_cli.cli.app import app
from glamor_cli.data.preprocess.cluster import dask_workers
from glamor_cli.errors import BackendUnavailable, ConfigError

pytest.importorskip("distributed")

DASK = str(Path(sys.executable).with_name("dask"))


@pytest.fixture
def start(tmp_path):
    """Start a scheduler or a worker as a process of its own."""
    with ExitStack() as stack:

        def begin(*words):
            process = stack.enter_context(
                subprocess.Popen([DASK, *words], cwd=tmp_path, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def scheduler(tmp_path, start):
    """The file that tells workers of a scheduler, and its address."""
    where = tmp_path / "scheduler.json"
    process = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                    "--scheduler-file", str(where))  # fmt: skip

    def read() -> str | None:
        # The file is there before it is whole.
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(where.read_text())["address"]
        return None

    wait_until(read, process)
    return str(where), read()


@pytest.fixture
def start_worker(start, scheduler):
    """Start a worker with one thread."""
    words = ("--scheduler-file", scheduler[0], "--nthreads", "1", "--no-nanny", "--no-dashboard")
    return partial(start, "worker", *words)


@pytest.fixture
def cluster(scheduler, start_worker):
    """The scheduler's address, and the processes of two workers."""
    return scheduler[1], [start_worker() for _ in range(2)]


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path, cluster, run, monkeypatch):
    """The data set's path is given relative, and the workers run elsewhere."""
    address, workers = cluster
    source = write_authors_data_set(tmp_path / "data" / "set", {"test": 10, "train": 50})
    (source / "images" / "train" / "Happy" / "rotten.png").write_text("rotten")
    run(source, tmp_path / "undisturbed")
    monkeypatch.chdir(tmp_path / "data")
    command = [sys.executable, "-m", "glamor_cli", "preprocess", "set", "store"]
    command += ["--boxes", "crop-files", "--dask", address, "--json", "-"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    faces = Path("store") / "train" / "faces.npy"
    wait_until(lambda: size(faces) > 40 * 96 * 96 * 3, process)
    workers[0].kill()
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 1, stderr  # for the rotten one
    assert stdout, stderr
    assert json.loads(stdout)["stored"] == 180
    assert tree(Path("store")) == tree(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_result_that_is_here_counts_although_its_worker_died_meanwhile(
    scheduler, start_worker, monkeypatch
):
    start_worker()
    with dask_workers(scheduler[1]) as workers:
        client = workers.executor._client
        gather = client._gather

        async def gather_and_lose(futures):
            results = await gather(futures)
            for future in futures:
                future._state.lose()  # as the scheduler tells it
            return results

        monkeypatch.setattr(client, "_gather", gather_and_lose)
        assert workers.executor.submit(abs, -3).result(60) == 3
        # If that is so with Dask's own executor, ours is not needed any more.
        with pytest.raises(TypeError, match="unpack"):
            client.get_executor(pure=False).submit(abs, -3).result(60)


@pytest.mark.slow
def test_a_cluster_without_a_usable_worker_is_no_endless_wait(
    tmp_path, scheduler, start_worker, monkeypatch
):
    monkeypatch.setattr("glamor_cli.data.preprocess.cluster._WORKER_SECONDS", 1)
    monkeypatch.setattr("glamor_cli.data.preprocess.cluster._COUNT_SECONDS", 0.1)
    _, address = scheduler
    told = threading.Event()
    with pytest.raises(ConfigError, match="has no worker"), dask_workers(address, told.set):
        pass
    assert told.is_set()

    monkeypatch.setattr("glamor_cli.data.preprocess.cluster._WORKER_SECONDS", 60)
    good = start_worker()
    told.clear()
    with dask_workers(address, told.set) as workers:
        assert workers.executor.submit(abs, -3).result(60) == 3
        told.clear()
        good.kill()
        assert told.wait(60)
        start_worker()
        assert workers.executor.submit(abs, -4).result(60) == 4

    without = tmp_path / "without.py"
    without.write_text("import sys\nsys.modules['glamor_cli'] = None\n")
    bad = start_worker("--preload", str(without), "--name", "bad")
    deadline = time.monotonic() + 60
    with pytest.raises(ConfigError, match=r"not installed for the Dask worker tcp://"):
        while time.monotonic() < deadline and bad.poll() is None:
            with dask_workers(address):
                time.sleep(0.1)


def test_no_scheduler_and_no_sense(tmp_path, authors_data_set, monkeypatch):
    def invoke(*words):
        arguments = ["preprocess", authors_data_set, tmp_path / "store", *words]
        arguments += ["--boxes", "crop-files"]
        return CliRunner().invoke(app, [str(word) for word in arguments])

    error = invoke("--dask", "localhost").exception
    assert isinstance(error, ConfigError)
    assert "no Dask scheduler answers at localhost" in error.what
    assert not (tmp_path / "store").exists()
    error = invoke("--dask", "tcp://127.0.0.1:8786", "--workers", 2).exception
    assert isinstance(error, ConfigError)
    monkeypatch.setitem(sys.modules, "distributed", None)
    error = invoke("--dask", "tcp://127.0.0.1:8786").exception
    assert isinstance(error, BackendUnavailable)
    assert "--extra cluster" in error.remedy
    # Nothing was made, and nobody is bound to these settings.
    assert not (tmp_path / "store" / "store.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_stopping_while_a_mute_scheduler_is_waited_for(tmp_path, authors_data_set):
    """Dask's client would wait as long again to close, and then end in a page of its own."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.settimeout(120)
        command = [sys.executable, "-m", "glamor_cli", "preprocess", authors_data_set]
        command += [tmp_path / "store", "--boxes", "crop-files"]
        command += ["--dask", f"tcp://127.0.0.1:{mute.getsockname()[1]}"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        connection, _ = mute.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=240)
    assert process.returncode == 130, said
    assert said.startswith("stopped"), said
    assert len(said.splitlines()) == 2, said
