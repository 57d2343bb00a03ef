import subprocess
import sys
from pathlib import Path

from glamor_cli.data.scenes.cues import read_cues


def glamor(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "glamor_cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_makes_scenes_then_refuses_to_overwrite_them(tmp_path):
    command = ("scenes", tmp_path / "s", "--train", 2, "--validation", 1, "--test", 1, "--scale", 1)
    done = glamor(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert len(read_cues(tmp_path / "s")) == 4
    again = glamor(*command)
    assert again.returncode == 3
    assert again.stderr.splitlines()[0].endswith("exists already and is not an empty folder")
    assert len(again.stderr.splitlines()) == 2


def test_the_folder_worked_in_can_take_the_scenes(tmp_path):
    few = ("--train", 2, "--validation", 1, "--test", 1, "--scale", 1)
    done = glamor("scenes", ".", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "glamor preprocess . pairs --boxes crop-files" in done.stderr
    next_words = ("preprocess", ".", "pairs", "--boxes", "crop-files", "--workers", 1)
    for _ in range(2):
        assert glamor(*next_words, cwd=tmp_path).returncode == 0


def test_says_what_is_wrong_with_a_count(tmp_path):
    done = glamor("scenes", tmp_path / "s", "--train", -3)
    assert done.returncode == 3
    assert (
        done.stderr.splitlines()[0] == "error: the number of train scenes must be 0 or more, not -3"
    )
    assert not (tmp_path / "s").exists()
