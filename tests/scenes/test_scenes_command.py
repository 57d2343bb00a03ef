import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_until

from glamor_cli.data.scenes.cues import read_cues

FEW = ("--train", 2, "--validation", 1, "--test", 1, "--scale", 1)
HIDDEN = ".scenes-*.partial/scenes/images/*/*/*.png"
"""What is drawn before a folder gets its name."""


def glamor(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "glamor_cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def begin(out: Path, beside: Path) -> subprocess.Popen:
    """Draw many scenes, and come back when some are there."""
    before = set(beside.glob(HIDDEN))
    command = [sys.executable, "-m", "glamor_cli", "scenes", str(out), "--train", "100000"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: set(beside.glob(HIDDEN)) > before, running)
    return running


def test_makes_scenes_then_refuses_to_overwrite_them(tmp_path):
    command = ("scenes", tmp_path / "s", *FEW)
    done = glamor(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(read_cues(tmp_path / "s")) == 4
    again = glamor(*command)
    assert again.returncode == 3
    assert again.stderr.splitlines()[0].endswith("exists already and is not an empty folder")
    assert len(again.stderr.splitlines()) == 2


def test_the_folder_worked_in_can_take_the_scenes(tmp_path):
    done = glamor("scenes", ".", *FEW, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "glamor preprocess . pairs" in done.stderr
    next_words = ("preprocess", ".", "pairs", "--workers", 1)
    for _ in range(2):
        assert glamor(*next_words, cwd=tmp_path).returncode == 0


def test_the_next_command_runs_as_it_is_shown_whatever_the_folder_is_called(tmp_path):
    name = "-it's $HOME"
    done = glamor("scenes", f"./{name}", *FEW, cwd=tmp_path)
    command = done.stderr.splitlines()[-1].removeprefix("Next: ")
    words = shlex.split(command)
    assert words[:2] == ["glamor", "preprocess"]
    assert glamor(*words[1:], "--workers", 1, cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}-pairs"]


@pytest.mark.parametrize("within", [True, False])
def test_a_killed_run_can_be_run_again_and_then_leaves_nothing(tmp_path, within):
    out = tmp_path / "s"
    if within:
        out.mkdir()
    beside = out if within else tmp_path
    killed = begin(out, beside)
    killed.kill()
    killed.wait()
    done = glamor("scenes", out, *FEW)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == ["crop", "cues.csv", "images"]
    assert list(tmp_path.iterdir()) == [out]


def test_a_run_that_goes_on_is_not_disturbed_by_another(tmp_path):
    running = begin(tmp_path / "one", tmp_path)
    try:
        drawn = next(tmp_path.glob(HIDDEN))
        assert glamor("scenes", tmp_path / "two", *FEW).returncode == 0
        assert drawn.exists()
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


def test_says_what_is_wrong_with_a_count(tmp_path):
    done = glamor("scenes", tmp_path / "s", "--train", -3)
    assert done.returncode == 3
    assert (
        done.stderr.splitlines()[0] == "error: the number of train scenes must be 0 or more, not -3"
    )
    assert not (tmp_path / "s").exists()
