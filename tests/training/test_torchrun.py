"""Training in several processes: real ones, started by torchrun, against one alone."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchrun_steps import RECIPES, take_steps
from typer.testing import CliRunner
from waiting import wait_until

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError, PeerFailed
from glamor_cli.training.checkpoints import LAST
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.live_report import LIVE_REPORT
from glamor_cli.training.world import World

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
STEPS = Path(__file__).with_name("torchrun_steps.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """torchrun keeps each run's logs among the temporary files, and never removes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("logs")))
        yield


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=300)
    return said


def words(store: Path, run: Path, *options: object) -> list[str]:
    command = ["train", store, "--run", run, "--epochs", 3, "--batch", 5, "--variant", "face-only"]
    return [str(word) for word in (*command, "--device", "cpu", "--threads", 1, *options)]


def train(store: Path, run: Path, *options: object) -> subprocess.Popen[str]:
    """Start two processes."""
    command = [sys.executable, "-m", "glamor_cli", *words(store, run, *options)]
    return start(*TORCHRUN, "--no-python", "--", *command)


def train_alone(store: Path, run: Path, *options: object) -> None:
    done = CliRunner().invoke(app, words(store, run, *options))
    assert done.exit_code == 0, done.output


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


@pytest.fixture(scope="module")
def together(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """What two processes leave and say that torchrun starts once, as they take seconds to start."""
    folder = tmp_path_factory.mktemp("together")
    train_alone(scene_store, folder / "run-0", "--epochs", 1)
    commands = (
        words(scene_store, folder / "whole"),
        words(scene_store, folder / "refused", "--seed", "$RANK"),
        words(scene_store, folder / "run-$RANK", "--epochs", 1, "--resume"),
    )
    process = start(*TORCHRUN, STEPS, scene_store, folder, *map(shlex.join, commands))
    said = finish(process)
    assert process.returncode == 0, said
    return folder, said


def test_two_processes_take_the_steps_of_one(scene_store: Path, together: tuple[Path, str]) -> None:
    folder, _ = together
    for name in RECIPES:
        take_steps(scene_store, folder, name, World(torch.device("cpu")))
        one, two = (load_file(folder / f"{name}-{size}.safetensors") for size in (1, 2))
        assert one.keys() == two.keys()
        assert len(one["losses"]) == 10
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=0, atol=1e-6, msg=f"{name}: {key}")


TWICE = """
import time
import torch
from glamor_cli.training.world import join_world

for _ in range(2):
    with join_world(torch.device("cpu")) as world:
        world.total(1.0)
        time.sleep(0.5 * world.leads)  # It writes, and the other goes on to the next.
"""


def test_processes_that_another_launcher_started_train_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Process 0 keeps the place where they meet; the other one is the first there again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listening.getsockname()[1])}
    for name, value in (place | {"WORLD_SIZE": "2"}).items():
        monkeypatch.setenv(name, value)
    first, second = (start("env", f"RANK={rank}", sys.executable, "-c", TWICE) for rank in range(2))
    try:
        for process in (second, first):
            said = finish(process)
            assert process.returncode == 0, said
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()


def test_one_process_speaks_for_both(together: tuple[Path, str]) -> None:
    folder, said = together
    assert said.count("best validation accuracy") == 1
    assert str(folder / "whole" / BEST) in "".join(said.split())


def test_sigterm_saves_and_any_number_of_processes_goes_on(
    scene_store: Path, together: tuple[Path, str], tmp_path: Path
) -> None:
    whole, _ = together
    stopped = train(scene_store, tmp_path / "run")
    wait_until((tmp_path / "run" / LIVE_REPORT).exists, stopped)
    stopped.send_signal(signal.SIGTERM)
    said = finish(stopped)
    assert (tmp_path / "run" / LAST).exists()
    # A fast machine may have finished.
    assert stopped.returncode == 0 or "Go on with the same command and --resume." in said
    shutil.copytree(tmp_path / "run", tmp_path / "other")

    resumed = train(scene_store, tmp_path / "run", "--resume")
    said = finish(resumed)
    assert resumed.returncode == 0, said
    assert losses(tmp_path / "run") == losses(whole / "whole")
    ends = [load_file(run / BEST) for run in (tmp_path / "run", whole / "whole")]
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())

    train_alone(scene_store, tmp_path / "other", "--resume")
    assert [line["epoch"] for line in losses(tmp_path / "other")] == [1, 2, 3]


def test_a_killed_process_ends_the_others(scene_store: Path, tmp_path: Path) -> None:
    run = train(scene_store, tmp_path / "run", "--epochs", 1000)
    wait_until((tmp_path / "run" / METRICS).exists, run)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    finish(run)
    assert run.returncode != 0
    assert (tmp_path / "run" / LAST).exists()


def test_what_all_find_wrong_is_said_once(scene_store: Path, tmp_path: Path) -> None:
    wrong = train(scene_store, tmp_path / "run", "--train-split", "nowhere")
    said = finish(wrong)
    assert wrong.returncode != 0
    assert said.count("has no split 'nowhere'") == 1
    assert "SIGKILL" not in said, "one of them waited for the other, and torchrun for both"
    assert not (tmp_path / "run" / CONFIG).exists()


def test_processes_that_were_given_different_work_are_refused(
    together: tuple[Path, str],
) -> None:
    """Another command on a machine, or a run folder on its own disk, would train nonsense."""
    folder, said = together
    assert said.count("differ in settings") == 1
    assert not (folder / "refused" / CONFIG).exists()
    assert said.count("differ in the checkpoint they go on from") == 1
    both_of = Counter({"0": 2, str(ConfigError.exit_code): 2, str(PeerFailed.exit_code): 2})
    assert Counter(re.findall(r"glamor ended with (\d+)", said)) == both_of
