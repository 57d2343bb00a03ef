"""``glamor preprocess`` and ``glamor store`` as users type them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from small_data_sets import tree, write_authors_data_set, write_image
from terminal import run_on_terminal
from typer.testing import CliRunner
from waiting import size, wait_until

from glamor_cli.cli import long_progress
from glamor_cli.cli.app import app
from glamor_cli.cli.render import console
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.system.stop_signals import STOP_SIGNALS


@pytest.fixture
def glamor():
    def invoke(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return invoke


def test_the_way_of_a_data_set(tmp_path, glamor, monkeypatch):
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

    with monkeypatch.context() as terminal:
        terminal.setattr(console, "_width", 40)
        again = glamor(*words, "--json", "-")
    assert "images 7; stored 6; no face 0; failed 1" in " ".join(again.stderr.split())
    assert again.exit_code == 1
    assert json.loads(again.stdout)["failed"] == written["failed"]
    assert "is already finished" in again.stderr
    assert "Exits with 1 if an image could not be used" in glamor("preprocess", "--help").stdout

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
    assert refused.what == "--detector cannot be combined with --boxes whole"
    assert not (tmp_path / "store").exists()


def boxes_of(store):
    """Tell where a store's boxes came from, and what they are."""
    (split,) = PairStore.open(store).splits
    boxes = PairStore.open(store).split(split).boxes.tolist()
    return PairStore.open(store).info.boxes, boxes


def test_a_data_sets_own_boxes_are_used_if_it_has_any(tmp_path, glamor):
    source = write_authors_data_set(tmp_path / "set", {"train": 1})
    done = glamor("preprocess", source, tmp_path / "crops", "--workers", 1, "--json", "-")
    assert json.loads(done.stdout)["boxes"] == "crop-files"
    assert "crop-files" in done.stderr
    files = sorted((source / "crop").rglob("*.txt"))
    own = [[int(cell) for cell in file.read_text().split(",")] for file in files]
    assert boxes_of(tmp_path / "crops") == ("crop-files", own)
    manifest = tmp_path / "set" / "manifest.csv"
    rows = [f"{path.relative_to(source)},Happy,1,2,20,20\n" for path in source.rglob("*.png")]
    manifest.write_text("".join(["path,label,x1,y1,x2,y2\n", *rows]))
    glamor("preprocess", manifest, tmp_path / "columns", "--workers", 1)
    assert boxes_of(tmp_path / "columns") == ("manifest", [[1, 2, 20, 20]] * len(rows))


@pytest.mark.parametrize("option", [("--boxes", "detect"), ("--detector", "centerface")])
def test_whoever_asks_for_a_detector_gets_it(option, tmp_path, glamor):
    source = write_authors_data_set(tmp_path / "set", {"train": 1})
    glamor("preprocess", source, tmp_path / "store", "--workers", 1, *option)
    assert PairStore.open(tmp_path / "store").info.boxes == "detect"


def test_boxes_of_other_splits_and_empty_cells_are_none(tmp_path, glamor):
    write_image(tmp_path / "set" / "a.png")
    manifest, store = tmp_path / "set" / "manifest.csv", tmp_path / "store"
    columns, first = "path,label,split,x1,y1,x2,y2\n", "a.png,Happy,train,0,0,20,20\n"
    manifest.write_text(f"{columns}{first}a.png,Happy,test,,,,\n")
    words = ("preprocess", manifest, store, "--workers", 1)
    refused = glamor(*words).exception
    assert isinstance(refused, ConfigError)
    assert "has boxes for train, but not for test" in refused.what
    refused = glamor(*words, "--split", "test", "--boxes", "manifest").exception
    assert "not a manifest with boxes" in refused.what
    assert not store.exists()
    assert glamor(*words, "--split", "test").exit_code == 0
    assert PairStore.open(store).info.boxes == "detect"
    # A box that some rows lack is not made up.
    manifest.write_text(f"{columns}{first}a.png,Happy,train,,,,\n")
    done = glamor("preprocess", manifest, tmp_path / "both", "--workers", 1)
    assert done.exit_code == 1
    assert "no box is given for a.png" in done.stderr
    assert "--boxes detect, into another folder" in done.stderr


def test_a_folder_called_crop_without_box_files_gives_no_boxes(tmp_path, glamor):
    write_image(tmp_path / "set" / "train" / "Happy" / "a.png")
    write_image(tmp_path / "set" / "crop" / "train" / "Happy" / "a.png")
    words = ("preprocess", tmp_path / "set", tmp_path / "store", "--workers", 1)
    assert isinstance(glamor(*words, "--boxes", "crop-files").exception, ConfigError)
    assert glamor(*words).exit_code == 0
    assert PairStore.open(tmp_path / "store").info.boxes == "detect"


def test_several_faces_of_an_image_are_not_all_made_the_same_one(tmp_path, glamor):
    write_image(tmp_path / "set" / "group.png")
    manifest, store = tmp_path / "set" / "manifest.csv", tmp_path / "store"
    rows = "group.png,Happy,0,0,20,20\ngroup.png,Sad,20,0,40,20\n"
    manifest.write_text(f"path,label,x1,y1,x2,y2\n{rows}")
    assert glamor("preprocess", manifest, store, "--workers", 1).exit_code == 0
    assert boxes_of(store) == ("manifest", [[0, 0, 20, 20], [20, 0, 40, 20]])


@pytest.fixture(scope="module")
def face_and_blank(tmp_path_factory):
    """A part of a photograph, small because dlib is slow, and an image without a face."""
    folder = tmp_path_factory.mktemp("faces") / "Happy"
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()[40:210, 140:310]).save(folder / "a.png")
    Image.new("RGB", (60, 40), (90, 90, 90)).save(folder / "blank.png")
    return folder.parent


def test_the_authors_detector_and_jpeg_step(tmp_path, glamor, face_and_blank):
    pytest.importorskip("dlib", reason="the extra dlib is not installed")
    pytest.importorskip("simplejpeg", reason="the extra official-jpeg is not installed")
    words = ("preprocess", face_and_blank, tmp_path / "store", "--workers", 1)
    done = glamor(*words, "--detector", "dlib", "--official-jpeg")
    assert done.exit_code == 0, done.stderr
    store = PairStore.open(tmp_path / "store")
    info = store.info
    assert (info.boxes, info.detector) == ("detect", "dlib")
    assert (info.official_jpeg, info.skip_no_face) == (True, False)
    # An image without a face is all context, as in the authors' program.
    split = store.split("all")
    assert len(split) == 2
    assert split.boxes[0].any()
    assert not split.boxes[1].any()
    assert not split.faces[1].any()


def test_an_image_that_the_detector_refuses_is_reported_alone(tmp_path, glamor, face_and_blank):
    pytest.importorskip("dlib", reason="the extra dlib is not installed")
    shutil.copytree(face_and_blank, tmp_path / "set")
    Image.new("RGB", (4000, 3000)).save(tmp_path / "set" / "Happy" / "large.jpg")
    words = ("preprocess", tmp_path / "set", tmp_path / "store", "--workers", 1)
    done = glamor(*words, "--detector", "dlib")
    assert done.exit_code == 1
    assert "Happy/large.jpg: an image of 4000x3000 pixels is too large for dlib" in done.stderr
    assert len(PairStore.open(tmp_path / "store").split("all")) == 2


def test_images_without_a_face_can_be_left_out(tmp_path, glamor, face_and_blank):
    words = ("preprocess", face_and_blank, tmp_path / "store", "--workers", 1, "--json", "-")
    done = glamor(*words, "--skip-no-face")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["read"], report["stored"], report["no_face"]) == (2, 1, 1)
    store = PairStore.open(tmp_path / "store")
    assert (store.info.official_jpeg, store.info.skip_no_face) == (False, True)
    assert store.info.detector == "centerface"
    (row,) = store.split("all").boxes
    assert row.any()


def test_damage_found_by_verify_is_an_error(tmp_path, glamor):
    write_image(tmp_path / "set" / "Happy" / "a.png")
    store = tmp_path / "store"
    glamor("preprocess", tmp_path / "set", store, "--boxes", "whole", "--workers", 1)
    (store / "all" / "faces.npy").write_bytes(
        (store / "all" / "faces.npy").read_bytes()[:-1] + b"x"
    )
    assert isinstance(glamor("store", "verify", store).exception, DataError)


@pytest.mark.parametrize("stop", [number for number in STOP_SIGNALS if number != signal.SIGTERM])
def test_ctrl_c_and_a_closed_terminal_stop_cleanly_and_say_how_to_go_on(stop, tmp_path):
    # Enough to be in the middle of it, however late the signal comes.
    write_image(tmp_path / "a.png")
    source, out = tmp_path / "manifest.csv", tmp_path / "store"
    source.write_text("path,label\n" + 1500 * "a.png,Sad\n")
    command = [sys.executable, "-m", "glamor_cli", "preprocess", str(source), str(out)]
    command += ["--boxes", "whole", "--workers", "2"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    faces = out / "all" / "faces.npy"
    wait_until(lambda: size(faces) > 300_000, process)
    # To all of its processes, as a terminal does.
    os.killpg(process.pid, stop)
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 130
    assert stdout == ""
    assert "Run the same command again" in stderr
    assert "Traceback" not in stderr
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    report = json.loads(done.stdout)
    assert report["stored"] == 1500
    assert 0 < report["resumed"] < 1500


def test_a_log_gets_a_line_now_and_then(tmp_path, glamor, monkeypatch):
    monkeypatch.setattr(long_progress, "_LINE_SECONDS", 0)
    source = write_authors_data_set(tmp_path / "set", {"train": 2})
    words = ("preprocess", source, tmp_path / "store", "--boxes", "crop-files", "--workers", 1)
    done = glamor(*words)
    assert done.exit_code == 0, done.stderr
    (last,) = [line for line in done.stderr.splitlines() if "6 of 6 images" in line]
    assert re.fullmatch(r"preprocessing: 6 of 6 images \(100\.0%\), [\d.]+ images/s, .+ left", last)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_a_terminal_gets_a_bar_and_scripts_their_json(tmp_path):
    source = write_authors_data_set(tmp_path / "set", {"train": 2})
    words = ["preprocess", source, tmp_path / "store", "--boxes", "crop-files"]
    code, output, shown = run_on_terminal(*words, "--workers", 1, "--json", "-", columns=120)
    assert code == 0, shown
    assert json.loads(output)["stored"] == 6
    assert re.search(r"preprocessing ━+ 6/6 [\d.]+ images/s", shown), shown


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
    wait_until(lambda: has_workers(process.pid), process)
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
