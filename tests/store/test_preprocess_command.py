"""``glamor preprocess`` and ``glamor store`` as users type them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from small_data_sets import tree, write_authors_data_set, write_image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.store import PairStore
from glamor_cli.errors import ConfigError, DataError


@pytest.fixture
def glamor():
    def invoke(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return invoke


def test_the_way_of_a_data_set(tmp_path, glamor):
    source = write_authors_data_set(tmp_path / "set", {"train": 2})
    (source / "images" / "train" / "Sad").mkdir()
    (source / "images" / "train" / "Sad" / "[red]rotten.jpg").write_text("text")
    store, report = tmp_path / "store", tmp_path / "report.json"
    words = ("preprocess", source, store, "--boxes", "crop-files", "--workers", 1)
    done = glamor(*words, "--json", report)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "[red]rotten.jpg is not an image" in done.stderr
    written = json.loads(report.read_text())
    assert (written["read"], written["stored"], written["no_face"]) == (7, 6, 0)
    assert written["failed"][0]["source"] == "images/train/Sad/[red]rotten.jpg"
    assert "is not an image" in written["failed"][0]["reason"]
    assert written["seconds"] > 0
    assert written["images_per_second"] > 0

    again = glamor(*words, "--json", "-")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["failed"] == written["failed"]
    assert "was finished before" in again.stderr

    assert "crop-files" in glamor("store", "info", store).stderr
    assert "6 pairs" in glamor("store", "verify", store).stderr
    assert glamor("store", "export-crops", store, tmp_path / "out").exit_code == 0
    assert tree(tmp_path / "out" / "crop") == tree(source / "crop")


def test_a_report_is_utf8_whatever_the_terminal_has(tmp_path):
    (tmp_path / "set" / "Happy").mkdir(parents=True)
    (tmp_path / "set" / "Happy" / "naïve.jpg").write_text("text")
    command = [sys.executable, "-m", "glamor_cli", "preprocess", "set", "store", "--json", "-"]
    done = subprocess.run(
        [*command, "--boxes", "whole", "--workers", "1"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
    assert "naïve.jpg" in json.loads(done.stdout.decode("utf-8"))["failed"][0]["source"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "store"]


def test_class_folders_get_the_split_name_of_choice(tmp_path, glamor):
    write_image(tmp_path / "set" / "Happy" / "a.png")
    done = glamor("preprocess", tmp_path / "set", tmp_path / "store", "--boxes", "whole",
                  "--workers", 1, "--split", "test")  # fmt: skip
    assert done.exit_code == 0
    assert PairStore.open(tmp_path / "store").splits == ("test",)


def test_a_detector_that_would_not_be_asked_is_refused(tmp_path, glamor):
    write_image(tmp_path / "set" / "Happy" / "a.png")
    words = ("preprocess", tmp_path / "set", tmp_path / "store", "--detector", "dlib")
    refused = glamor(*words, "--boxes", "whole").exception
    assert isinstance(refused, ConfigError)
    assert refused.what == "--boxes whole needs no --detector"
    assert not (tmp_path / "store").exists()


def test_damage_found_by_verify_is_an_error(tmp_path, glamor):
    write_image(tmp_path / "set" / "Happy" / "a.png")
    store = tmp_path / "store"
    glamor("preprocess", tmp_path / "set", store, "--boxes", "whole", "--workers", 1)
    (store / "all" / "faces.npy").write_bytes(
        (store / "all" / "faces.npy").read_bytes()[:-1] + b"x"
    )
    assert isinstance(glamor("store", "verify", store).exception, DataError)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path):
    source = write_authors_data_set(tmp_path / "set", {"train": 100})
    out = tmp_path / "store"
    command = [sys.executable, "-m", "glamor_cli", "preprocess", str(source), str(out)]
    command += ["--boxes", "crop-files", "--workers", "2"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    faces = out / "train" / "faces.npy"
    deadline = time.monotonic() + 240
    while not (faces.exists() and faces.stat().st_size > 300_000):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    # To all of its processes, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 130
    assert stdout == ""
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["stored"] == 300
    assert report["resumed"] > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1])
def test_ctrl_c_while_workers_begin(tmp_path, delay):
    """A Python that is still starting says a page about a Ctrl-C, unless it never hears of it."""
    source = write_authors_data_set(tmp_path / "set", {"train": 100})
    command = [sys.executable, "-m", "glamor_cli", "preprocess", str(source), str(tmp_path / "out")]
    command += ["--boxes", "crop-files", "--workers", "4"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while not has_workers(process.pid):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130, stderr
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr


def has_workers(pid: int) -> bool:
    with suppress(OSError):  # a thread or a child may have ended meanwhile
        return any(
            b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        )
    return False


def test_torch_is_not_loaded(tmp_path):
    write_image(tmp_path / "set" / "Happy" / "a.png")
    code = (
        "import sys; from glamor_cli.__main__ import main\n"
        f"sys.argv = ['glamor', 'preprocess', {str(tmp_path / 'set')!r}, "
        f"{str(tmp_path / 'store')!r}, '--workers', '1']\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "0 False\n", done.stderr
