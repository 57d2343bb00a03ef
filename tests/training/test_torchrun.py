"""Training in several processes: real ones, started by torchrun, against one alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from waiting import wait_until

from glamor_cli.training.checkpoints import LAST
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.live_report import LIVE_REPORT

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
STEPS = Path(__file__).with_name("torchrun_steps.py")

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """torchrun keeps each run's logs among the temporary files, and never removes them."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("logs")))


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


def train(store: Path, run: Path, *options: object, processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glamor_cli", "train", store, "--run", run]
    command += ["--epochs", 3, "--batch", 5, "--variant", "face-only", "--device", "cpu"]
    launch = (*TORCHRUN[:-1], processes, "--no-python", "--") if processes > 1 else ()
    return start(*launch, *command, "--threads", 1, *options)


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if "second" not in key} for line in lines]


def test_two_processes_take_the_steps_of_one(scene_store: Path, tmp_path: Path) -> None:
    names = ("everything", "paper")
    for launch in ((sys.executable,), TORCHRUN):
        process = start(*launch, STEPS, scene_store, tmp_path, *names)
        said = finish(process)
        assert process.returncode == 0, said
    for name in names:
        one, two = (load_file(tmp_path / f"{name}-{size}.safetensors") for size in (1, 2))
        assert one.keys() == two.keys()
        assert len(one["losses"]) == 10
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, rtol=0, atol=1e-6, msg=f"{name}: {key}")


def test_sigterm_saves_and_any_number_of_processes_goes_on(
    scene_store: Path, tmp_path: Path
) -> None:
    whole = train(scene_store, tmp_path / "whole")
    said = finish(whole)
    assert whole.returncode == 0, said
    assert said.count("best validation accuracy") == 1, "one process speaks for both"

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
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    ends = [load_file(tmp_path / run / BEST) for run in ("run", "whole")]
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())

    alone = train(scene_store, tmp_path / "other", "--resume", processes=1)
    said = finish(alone)
    assert alone.returncode == 0, said
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
    scene_store: Path, tmp_path: Path
) -> None:
    """Another command on a machine, or a run folder on its own disk, would train nonsense."""

    def refused(options: str) -> str:
        command = f"exec {sys.executable} -m glamor_cli train {scene_store} --epochs 1 {options}"
        both = start(*TORCHRUN, "--no-python", "--", "sh", "-c", f"{command} --device cpu")
        said = finish(both)
        assert both.returncode != 0
        return said

    said = refused(f"--variant face-only --run {tmp_path}/run --seed $RANK")
    assert said.count("differ in settings") == 1
    assert not (tmp_path / "run" / CONFIG).exists()

    alone = train(scene_store, tmp_path / "run-0", "--epochs", 1, processes=1)
    said = finish(alone)
    assert alone.returncode == 0, said
    said = refused(f"--variant face-only --batch 5 --run {tmp_path}/run-$RANK --resume")
    assert said.count("differ in the checkpoint they go on from") == 1
