"""A training that is stopped anywhere and resumed computes what an undisturbed one would have."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK, assert_same, config
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner
from waiting import wait_until

from glamor_cli.cli.app import app
from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.training.average import start_average
from glamor_cli.training.candidates import candidate_path
from glamor_cli.training.checkpoints import (
    DAMAGED,
    LAST,
    PREVIOUS,
    has_checkpoint,
    load_checkpoint,
    lock_run,
)
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.optimizers import make_optimizer
from glamor_cli.training.progress import Progress
from glamor_cli.training.start import make_network
from glamor_cli.training.trainer import begin_or_resume, train
from glamor_cli.weights.metadata import CHECKPOINT_KEY
from glamor_cli.weights.network_file import read_metadata


def test_checkpoints_may_be_as_frequent_as_steps(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """And how frequent they are does not make a resumed run another."""
    found: list[bool] = []

    def look(progress: Progress) -> None:
        found.append((tmp_path / "run" / LAST).exists())
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    train(config(scene_store, tmp_path / "run", checkpoint_every=0.0), on_progress=look)
    assert found == [False, True, True]
    assert train(config(scene_store, tmp_path / "run"), resume=True).finished
    assert_same(undisturbed, tmp_path / "run")


@pytest.mark.parametrize("stop_after", [1, 4, 5])
def test_a_stopped_run_resumes_to_the_same_numbers(
    scene_store: Path, undisturbed: Path, tmp_path: Path, stop_after: int
) -> None:
    steps = 0

    def stop(_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    run = config(scene_store, tmp_path / "run")
    assert not train(run, on_progress=stop).finished
    assert steps == stop_after
    assert train(run, resume=True).finished
    assert_same(undisturbed, tmp_path / "run")


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_run_whose_name_is_no_unicode_is_resumed(scene_store: Path, tmp_path: Path) -> None:
    run = config(scene_store, tmp_path / os.fsdecode(b"caf\xe9"))
    assert not train(run, on_progress=lambda _: os.kill(os.getpid(), signal.SIGINT)).finished
    assert train(run, resume=True).finished
    assert read_metadata(run.run / BEST).classes == EMOTIONS


@pytest.fixture(scope="module")
def twice_stopped(scene_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped after its first and its second step, so that it has two checkpoints."""

    def stop(_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    folder = tmp_path_factory.mktemp("twice-stopped") / "run"
    for resume in (False, True):
        stopped = train(config(scene_store, folder), resume=resume, on_progress=stop)
        assert not stopped.finished
    assert (folder / PREVIOUS).exists()
    return folder


def flip(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


DAMAGES = {
    "truncated": lambda data: data[:-1000],
    "bit in a tensor": lambda data: flip(data, len(data) - 1000),
    # Without a checksum, step 2 would be taken for step 3, and one be left out.
    "bit in the place": lambda data: flip(data, data.index(b'step\\": 2') + 8),
    "bit in the header's length": lambda data: flip(data, 6),
    "empty": lambda _: b"",
}


def resume_for_a_step(store: Path, folder: Path) -> tuple[list[int], list[Path]]:
    """Go on with a run for a step; gives the steps it took, and the checkpoints found damaged."""
    told: list[Path] = []
    steps: list[int] = []

    def stop(progress: Progress) -> None:
        steps.append(progress.step)
        os.kill(os.getpid(), signal.SIGTERM)

    train(
        config(store, folder),
        resume=True,
        on_progress=stop,
        on_damaged=lambda path, _: told.append(path),
    )
    return steps, told


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_used(
    scene_store: Path, twice_stopped: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    last = folder / LAST
    last.write_bytes(DAMAGES[damage](last.read_bytes()))
    steps, told = resume_for_a_step(scene_store, folder)
    assert told == [last]
    assert steps == [2], "it goes on after the first step"


def test_a_damaged_checkpoint_never_takes_the_place_of_the_whole_one(
    scene_store: Path, undisturbed: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    """The next checkpoint would make it the one before; a kill then would leave nothing."""
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    last, whole = folder / LAST, (folder / PREVIOUS).read_bytes()
    last.write_bytes(last.read_bytes()[:-1000])
    seen: list[tuple[bool, bool]] = []

    def look(progress: Progress) -> None:
        seen.append((last.exists(), (folder / PREVIOUS).read_bytes() == whole))
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    train(config(scene_store, folder, checkpoint_every=0.0), resume=True, on_progress=look)
    assert seen == [(False, True), (True, True), (True, False)]
    assert (folder / DAMAGED).exists()
    assert train(config(scene_store, folder), resume=True).finished
    assert_same(undisturbed, folder)


def test_a_kill_between_two_renames_is_no_damage(
    scene_store: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    """A checkpoint is written, the last one is already the one before, and the power goes."""
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    (folder / LAST).rename(folder / PREVIOUS)
    names = ("last-x.safetensors", ".candidate-3-x.safetensors", "config-x.json")
    names += ("metrics-x.jsonl", "curves-x.png", "training-x.html", "rows-x.csv")
    *half_written, others = [
        folder / f".{name.replace('-x.', '-x1y2z3_4.partial.')}" for name in names
    ]
    half_written.append(folder / ".tmpLZGkCy")
    for path in (*half_written, others):
        path.write_bytes(b"half")
    steps, told = resume_for_a_step(scene_store, folder)
    assert (steps, told) == ([3], [])
    assert not any(path.exists() for path in half_written)
    assert others.exists()  # a prediction that runs meanwhile


def test_without_a_whole_checkpoint_it_says_so(
    scene_store: Path, twice_stopped: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(twice_stopped, tmp_path / "run")
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        train(config(scene_store, folder), resume=True)


def test_a_kill_after_the_last_checkpoint_costs_no_metrics(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    (folder / METRICS).unlink()
    assert train(config(scene_store, folder), resume=True).finished
    assert_same(undisturbed, folder)


def finished_epochs(run: Path) -> int:
    metrics = run / METRICS
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


@pytest.mark.slow
def test_ctrl_c_and_kill_of_the_command(scene_store: Path, tmp_path: Path) -> None:
    """Ctrl-C, then SIGKILL, of the real command; resumed, it ends as if undisturbed."""

    def command(run: Path, *options: str) -> list[str]:
        recipe = "--recipe modern --epochs 6 --batch 4 --variant face-only"
        words = ["train", str(scene_store), "--run", str(run), *recipe.split()]
        return [*words, "--threads", "1", "--device", "cpu", *options]

    def start(run: Path, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "glamor_cli", *command(run, *options)],
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_epochs(count: int, process: subprocess.Popen[str]) -> None:
        wait_until(lambda: finished_epochs(tmp_path / "run") >= count, process)

    def finish(process: subprocess.Popen[str]) -> str:
        _, said = process.communicate(timeout=240)
        return said

    whole = CliRunner().invoke(app, command(tmp_path / "whole"))
    assert whole.exit_code == 0, whole.output

    # Of six epochs, some are left whenever the signals arrive.
    stopped = start(tmp_path / "run")
    wait_for_epochs(1, stopped)
    stopped.send_signal(signal.SIGINT)
    said = finish(stopped)
    assert stopped.returncode == 130
    assert "--resume" in said

    done_so_far = finished_epochs(tmp_path / "run")
    killed = start(tmp_path / "run", "--resume")
    wait_for_epochs(done_so_far + 1, killed)
    killed.kill()
    finish(killed)
    assert finished_epochs(tmp_path / "run") < 6

    resumed = CliRunner().invoke(app, command(tmp_path / "run", "--resume"))
    assert resumed.exit_code == 0, resumed.output
    assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize(("recipe", "grows"), [("paper", False), ("fer2013", True)])
def test_who_stops_before_any_weights_are_kept_is_told_from_when_on_they_will_be(
    scene_store: Path, tmp_path: Path, recipe: str, grows: bool
) -> None:
    """And of small faces only where a recipe has any."""
    run = tmp_path / "run"

    def stop() -> None:
        wait_until((run / LAST).exists)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=stop, daemon=True).start()
    options = f"--recipe {recipe} --batch 1 --variant face-only --checkpoint-every 0s --device cpu"
    stopped = CliRunner().invoke(
        app, ["train", str(scene_store), "--run", str(run), *options.split()]
    )
    said = " ".join(stopped.stderr.split())
    assert stopped.exit_code == 130, said
    assert "0 epochs finished, and everything is saved; best.safetensors is kept from epoch" in said
    assert ("full size" in said) is grows


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals to a group of processes")
@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGTERM, False)],
    ids=["terminal", "scheduler", "kill"],
)
def test_the_program_that_makes_weights_waits_until_a_stopped_training_has_saved(
    number: int, to_all: bool, scene_store: Path, tmp_path: Path
) -> None:
    program = (
        "import signal, sys\n"
        "from commands import glamor\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))\n"  # as train_weights does
        "glamor('train', *sys.argv[1:])\n"
    )
    options = "--epochs 1000 --batch 4 --variant face-only --threads 1 --device cpu"
    making = Path(__file__).parents[2] / "weights" / "making"
    stopped = subprocess.Popen(
        [sys.executable, "-c", program, scene_store, "--run", tmp_path / "run", *options.split()],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(making), *sys.path])},
        start_new_session=True,
    )
    try:
        wait_until(lambda: finished_epochs(tmp_path / "run") >= 1, stopped)
        (os.killpg if to_all else os.kill)(stopped.pid, number)
        code = stopped.wait(timeout=240)
        wait_until(lambda: not is_running(stopped.pid))  # nor does anything of it run on
        _, said = stopped.communicate()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(stopped.pid, signal.SIGKILL)
    assert code == (-number if number == signal.SIGINT else 130), said
    assert "everything is saved" in said


def is_running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # gone, or only what nobody has waited for
        return False
    return True


@pytest.mark.skipif(os.name != "posix", reason="stops a process, and needs locks")
def test_two_trainings_in_one_folder_do_not_mix(scene_store: Path, tmp_path: Path) -> None:
    """The second one would remove what the first is writing, and both would write the results."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "glamor_cli", "train", scene_store, "--run", run]
    options = "--variant face-only --threads 1 --device cpu"
    first = subprocess.Popen([*command, *options.split()])
    try:
        wait_until((run / CONFIG).exists, first)
        # Held there, or it might be done before the other looks.
        first.send_signal(signal.SIGSTOP)
        half_written = run / ".last-abcdefgh.partial.safetensors"
        half_written.touch()
        before = (run / CONFIG).read_bytes()
        with pytest.raises(ConfigError, match=r"another process is training in .*run") as refused:
            train(config(scene_store, run), resume=has_checkpoint(run))
        assert "--run" in refused.value.remedy
        assert half_written.exists()
        assert (run / CONFIG).read_bytes() == before
    finally:
        first.kill()
        first.wait()
    with lock_run(run):
        pass  # a killed one's lock is gone


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder at work cannot be moved")
def test_a_run_that_was_moved_writes_nothing_in_its_old_place(
    scene_store: Path, tmp_path: Path
) -> None:
    """What is there then may be another training's; moved back, the run goes on."""
    run, moved = tmp_path / "run", tmp_path / "moved"
    begun = config(scene_store, run, replace(QUICK, epochs=3))

    def move(progress: Progress) -> None:
        if progress.epoch == 2 and not moved.exists():
            run.rename(moved)

    with pytest.raises(ConfigError, match=r"training in .*run, it was moved, removed or replaced"):
        train(begun, on_progress=move)
    assert not run.exists()
    moved.rename(run)
    assert train(begun, resume=True).finished


def test_a_run_is_never_overwritten(scene_store: Path, undisturbed: Path) -> None:
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config(scene_store, undisturbed))


@pytest.mark.parametrize("resume", [False, True])
def test_weights_kept_without_their_checkpoints_are_not_overwritten(
    scene_store: Path, undisturbed: Path, tmp_path: Path, resume: bool
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    for name in (LAST, PREVIOUS, METRICS):
        (run / name).unlink()
    before = (run / BEST).read_bytes()
    with pytest.raises(ConfigError, match="a run without checkpoints to go on from"):
        train(config(scene_store, run), resume=resume)
    assert (run / BEST).read_bytes() == before


KILL = """
import os, sys
from pathlib import Path
from quick_training import config
from glamor_cli.training import run as running
from glamor_cli.training.trainer import train

store, run, epochs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
save, saved = running.save_checkpoint, []

def save_or_die(*what):
    if len(saved) == epochs:
        os.kill(os.getpid(), 9)
    saved.append(save(*what))

running.save_checkpoint = save_or_die
train(config(store, run))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
@pytest.mark.parametrize("epochs", [0, 1])
def test_a_kill_before_the_checkpoint_costs_the_epoch_and_neither_the_run_nor_its_best(
    scene_store: Path, undisturbed: Path, tmp_path: Path, epochs: int
) -> None:
    run = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", KILL, str(scene_store), str(run), str(epochs)],
        cwd=Path(__file__).parent,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert epochs or (run / ".candidate-0.safetensors").exists()
    if epochs:
        state = json.loads((run / METRICS).read_text().splitlines()[0])
        assert read_metadata(run / BEST).accuracy["validation"] == state["validation_accuracy"]
    assert begin_or_resume(config(scene_store, run), lambda _: None).finished
    assert_same(undisturbed, run)
    assert not list(run.glob(".candidate-*"))


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_kill_before_the_best_has_its_name_does_not_lose_it(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(undisturbed, tmp_path / "run")
    best = (run / BEST).read_bytes()
    lines = (run / METRICS).read_text().splitlines()
    reached = [json.loads(line)["validation_accuracy"] for line in lines]
    epoch = reached.index(read_metadata(run / BEST).accuracy["validation"])
    (run / BEST).rename(candidate_path(run, epoch))
    candidate_path(run, 99).write_text("of an epoch that the checkpoint does not know")
    assert train(config(scene_store, run), resume=True).finished
    assert (run / BEST).read_bytes() == best
    assert not list(run.glob(".candidate-*"))


def test_what_an_optimiser_keeps_is_laid_out_like_its_parameters(
    scene_store: Path, undisturbed: Path
) -> None:
    """Steps in another layout take twice the time, and give no other numbers."""
    network = make_network(config(scene_store, undisturbed), EMOTIONS)
    network.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(QUICK, network)
    average = start_average(network)
    load_checkpoint(undisturbed, network, average, optimizer)
    kernels = [one for one in network.parameters() if one.ndim == 4 and one.shape[1] > 1]
    assert kernels
    for kernel in kernels:
        assert optimizer.state[kernel]["exp_avg"].stride() == kernel.stride()


def test_a_checkpoint_of_another_network_is_refused_as_such(
    scene_store: Path, undisturbed: Path, tmp_path: Path
) -> None:
    # One without a checksum, as older versions wrote it, whose optimiser had more to move.
    with safe_open(undisturbed / LAST, framework="pt") as handle:
        where = {CHECKPOINT_KEY: handle.metadata()[CHECKPOINT_KEY]}
    more = load_file(undisturbed / LAST) | {"optimizer/999/exp_avg": torch.zeros(1)}
    save_file(more, tmp_path / LAST, where)
    face_only = config(scene_store, undisturbed)
    context_only = replace(face_only, network=NetworkConfig(variant=Variant.CONTEXT_ONLY))
    for settings, run in ((context_only, undisturbed), (face_only, tmp_path)):
        network = make_network(settings, EMOTIONS)
        optimizer = make_optimizer(QUICK, network)
        with pytest.raises(CheckpointError, match="is a checkpoint of another network"):
            load_checkpoint(run, network, start_average(network), optimizer)


@pytest.mark.skipif(sys.platform != "linux", reason="no list of what is mapped")
def test_a_checkpoint_is_let_go_once_it_is_read(scene_store: Path, undisturbed: Path) -> None:
    """Windows replaces no file that is mapped, and the next checkpoint takes its place."""
    settings = config(scene_store, undisturbed)
    network = make_network(settings, EMOTIONS)
    average, optimizer = start_average(network), make_optimizer(QUICK, network)
    load_checkpoint(undisturbed, network, average, optimizer)
    assert str(undisturbed / LAST) not in Path("/proc/self/maps").read_text()
    assert optimizer.state, "what could hold it"


def test_a_finished_run_resumes_to_nothing(scene_store: Path, undisturbed: Path) -> None:
    before = (undisturbed / BEST).stat().st_mtime_ns
    assert train(config(scene_store, undisturbed), resume=True).finished
    assert (undisturbed / BEST).stat().st_mtime_ns == before
