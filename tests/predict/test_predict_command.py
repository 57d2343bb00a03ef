"""The command as people and scripts run it: streams, files, exit codes, and being stopped."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from little_room import run_with_little_room
from onnx import numpy_helper
from permissions import bound_by_permissions
from PIL import Image
from typer.testing import CliRunner

from glamor_cli.__main__ import main
from glamor_cli.cli.app import app
from glamor_cli.cli.face_table import error_line
from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.predict.predictor import PredictConfig, predict
from glamor_cli.predict.rows import COLUMNS, FaceRow
from glamor_cli.vision.status import Status

GLAMOR = [sys.executable, "-m", "glamor_cli"]


def run(*arguments: object):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_onnx_weights_need_no_torch_and_standard_output_holds_rows_alone(photographs, options):
    code = (
        "import sys; from glamor_cli.__main__ import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    arguments = ["predict", str(photographs / "astronaut.png"), *options, "--format", "jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert list(json.loads(line)) == list(COLUMNS)
    assert done.stderr.splitlines()[-1] == "False"


def test_machine_formats_agree(photographs, options):
    outputs = {}
    for name in ("jsonl", "json", "csv"):
        result = run(photographs, *options, "--format", name)
        # One of the folder's files is no image.
        assert result.exit_code == 1
        assert "fake.jpg is not an image" in result.stderr
        assert "Give JPEG, PNG" in result.stderr
        outputs[name] = result.stdout
    lines = [json.loads(line) for line in outputs["jsonl"].splitlines()]
    assert json.loads(outputs["json"]) == lines
    table = list(csv.DictReader(io.StringIO(outputs["csv"], newline="")))
    assert [row["source"] for row in table] == [row["source"] for row in lines]
    assert [row["emotion"] or None for row in table] == [row["emotion"] for row in lines]
    assert [row["status"] for row in lines].count("ok") == 8


def test_the_table_goes_to_standard_error_names_unharmed(photographs, options):
    result = run(photographs / "sub", *options)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert r"[bold], x\ny.png" in result.stderr
    assert "1 face" in result.stderr


def test_rows_and_pictures_in_files(photographs, options, tmp_path):
    rows, pictures = tmp_path / "new" / "rows.csv", tmp_path / "pictures"
    result = run(photographs, "nowhere.png", *options, "--output", rows, "--save", pictures)
    assert result.exit_code == 1
    assert "nowhere.png" in result.stderr
    assert result.stdout == ""
    with rows.open(newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == list(COLUMNS)
    assert table[-1]["status"] == "error"
    # All but the fake one and the missing one; nothing temporary is left.
    assert len(list(pictures.iterdir())) == 4
    assert [entry.name for entry in rows.parent.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--output", "rows.txt"], "--format"),
        (["--output", "rows.csv", "--format", "table"], "leave --output out"),
        (["--output", "-", "--format", "table"], "leave --output out"),
        (["--output", "."], "file"),
        (["--save", "a-file"], "the name of a folder"),
        (["--min-score", "-1"], "--min-score"),
        (["--min-score", "1.01"], "1 or less"),
        (["--long-side", "8"], "default"),
        (["--long-side", "1280", "--detector", "dlib"], "centerface"),
    ],
)
def test_wrong_options_say_what_to_do_and_write_nothing(
    photographs, options, tmp_path, monkeypatch, capfd, arguments, hint
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    source = str(photographs / "astronaut.png")
    monkeypatch.setattr(sys, "argv", ["glamor", "predict", source, *options, *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    what, remedy = capfd.readouterr().err.strip().splitlines()[-2:]
    assert what.startswith("error:")
    assert hint in remedy
    assert [entry.name for entry in tmp_path.iterdir()] == ["a-file"]


def test_the_mirror_image_is_asked_about_too(photographs, options, onnx_weights):
    photograph = photographs / "astronaut.png"
    (flipped, plain) = (
        json.loads(run(photograph, *options, *flip, "--format", "jsonl").stdout)
        for flip in (["--flip"], [])
    )
    config = PredictConfig(weights=onnx_weights, device="cpu", threads=1, flip=True)
    (expected,) = predict([photograph], config)
    assert flipped["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert flipped["probabilities"] != pytest.approx(plain["probabilities"], abs=1e-3)


def test_a_larger_working_size_finds_smaller_faces(photographs, options, tmp_path):
    crowd = Image.new("RGB", (1600, 1000), (90, 90, 90))
    with Image.open(photographs / "astronaut.png") as astronaut:
        crowd.paste(astronaut.resize((130, 130), Image.Resampling.BOX), (700, 400))
    crowd.save(tmp_path / "crowd.png")
    wide = run(tmp_path / "crowd.png", *options, "--format", "jsonl", "--long-side", "320")
    assert json.loads(wide.stdout)["status"] == "no_face"
    close = run(tmp_path / "crowd.png", *options, "--format", "jsonl", "--long-side", "1600")
    assert json.loads(close.stdout)["status"] == "ok"


def test_a_reader_that_has_enough_ends_the_run_quietly(photographs, options):
    sources = [str(photographs / "astronaut.png")] * 500
    with subprocess.Popen(
        [*GLAMOR, "predict", *sources, *options, "--format", "jsonl", "--batch", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(240) == 141


def test_a_folder_that_cannot_be_read_costs_only_itself(photographs, options, tmp_path):
    """As of a disk with its lost+found."""
    folder = tmp_path / "photos"
    for name in ("a", "lost+found", "z"):
        (folder / name).mkdir(parents=True)
        shutil.copy(photographs / "coffee.jpg", folder / name)
    (folder / "lost+found").chmod(0)
    (folder / "listed").mkdir()
    shutil.copy(photographs / "coffee.jpg", folder / "listed")
    (folder / "listed").chmod(0o444)
    try:
        with bound_by_permissions():
            result = run(folder, *options, "--format", "jsonl")
    finally:
        for name in ("lost+found", "listed"):
            (folder / name).chmod(0o755)
    assert result.exit_code == 1
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    errors = [row["reason"] for row in rows if row["status"] == "error"]
    assert [os.path.relpath(row["source"], folder) for row in rows if row["status"] != "error"] == [
        "a/coffee.jpg",
        "z/coffee.jpg",
    ]
    assert any("cannot read the folder" in reason and "lost+found" in reason for reason in errors)
    assert any("listed" in reason for reason in errors)


def test_an_empty_name_is_not_the_working_folder(options):
    result = run("", *options, "--format", "jsonl")
    assert json.loads(result.stdout)["reason"] == "a source has no name"


def test_what_fails_at_once_writes_nothing(photographs):
    for row_format in ("json", "csv"):
        result = run(photographs / "coffee.jpg", "--weights", "nobody", "--format", row_format)
        assert isinstance(result.exception, ConfigError)
        assert result.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_the_rows_so_far_outlive_a_failure(photographs, options, tmp_path):
    """There is room for the rows, and not for the second picture."""
    small = Image.new("RGB", (64, 48), "gray")
    small.save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", photographs / "group.jpg"]
    outputs = ["--save", tmp_path / "saved", "--output", tmp_path / "rows.jsonl"]
    done = run_with_little_room(60_000, "predict", *sources, *options, *outputs)
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "the rows so far are in" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows[0]["source"] == str(tmp_path / "a.png")
    assert len(list((tmp_path / "saved").iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
@pytest.mark.parametrize("row_format", ["jsonl", "json", "csv"])
def test_whole_rows_are_kept_where_there_is_no_room_for_more(
    photographs, options, tmp_path, row_format
):
    """Wherever in a row the room ends, also before the end of a JSON array."""
    command = ["predict", *[photographs / "astronaut.png"] * 4, *options, "--output"]
    whole = tmp_path / f"whole.{row_format}"
    assert run(*command[1:], whole).exit_code == 0
    size = whole.stat().st_size
    for room in (size - 2, size - 200, size // 2):
        rows = tmp_path / f"rows.{row_format}"
        done = run_with_little_room(room, *command, rows)
        assert done.returncode == ConfigError.exit_code, done.stderr
        told = done.stderr.splitlines()
        assert told[-3] == f"the rows so far are in {rows}"
        assert told[-2] == f"error: cannot write {rows}: File too large"
        assert 0 < len(_read(rows)) < 4
        assert _read(rows) == _read(whole)[: len(_read(rows))]
    rows.write_text("older")
    done = run_with_little_room(100, *command, rows)
    assert done.returncode == ConfigError.exit_code
    assert "rows so far" not in done.stderr
    assert rows.read_text() == "older"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted((rows.name, whole.name))


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_no_picture_is_cut_short_where_its_end_has_no_room(options, tmp_path):
    """A file that takes a part of what is written is as full as one that takes nothing."""
    Image.new("RGB", (64, 48), "gray").save(tmp_path / "a.png")
    command = [tmp_path / "a.png", *options, "--save", tmp_path]
    assert run(*command).exit_code == 0
    (saved,) = tmp_path.glob("*.jpg")
    whole = saved.read_bytes()
    done = run_with_little_room(len(whole) - 1, "predict", *command)
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert f"cannot write {saved}: File too large" in done.stderr
    assert saved.read_bytes() == whole


def _read(path: Path) -> list[dict[str, object]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return json.loads(text) if path.suffix == ".json" else [*map(json.loads, text.splitlines())]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("row_format", ["jsonl", "json"])
def test_standard_output_without_room_is_told_in_two_lines(photographs, options, row_format):
    command = [*GLAMOR, "predict", str(photographs / "astronaut.png"), *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--format", row_format],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ConfigError.exit_code, done.stderr
    what, _ = done.stderr.splitlines()
    assert what == "error: cannot write standard output: No space left on device"


def test_a_low_bound_finds_faces_that_the_usual_one_does_not(photographs, options):
    usual, low = (
        [
            json.loads(line)["detector_score"] or 1
            for line in run(
                photographs / "group.jpg", *options, "--format", "jsonl", "--min-score", bound
            ).stdout.splitlines()
        ]
        for bound in ("0.2", "0.03")
    )
    assert len(low) > len(usual)
    assert min(low) < 0.2 <= min(usual)


@pytest.fixture
def mute_weights(onnx_weights, tmp_path):
    """Weights whose answers are not finite, as those of an engine in too low a precision are."""
    model = onnx.load(onnx_weights)
    name = "network.fusion.face.2.bias"
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    values = np.full_like(numpy_helper.to_array(bias), np.nan)
    bias.CopyFrom(numpy_helper.from_array(values, name))
    path = tmp_path / "mute.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("row_format", ["jsonl", "csv", "table"])
def test_answers_that_are_no_numbers_are_an_error_and_no_rows(
    row_format, photographs, mute_weights
):
    options = ["--weights", mute_weights, "--device", "cpu", "--threads", "1"]
    result = run(photographs / "astronaut.png", *options, "--format", row_format)
    assert isinstance(result.exception, CheckpointError)
    assert "not finite" in result.exception.what
    assert "ok" not in result.stdout and "%" not in result.stderr


def test_rows_are_not_written_over_pictures_and_a_dash_is_standard_output(
    photographs, options, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(photographs / "astronaut.png", tmp_path / "photo.png")
    before = (tmp_path / "photo.png").read_bytes()
    for name in ("photo.png", "new.MP4"):
        refused = run(".", *options, "--output", name, "--format", "jsonl").exception
        assert isinstance(refused, ConfigError)
        assert "has the ending of a picture" in refused.what
    assert (tmp_path / "photo.png").read_bytes() == before
    result = run("photo.png", *options, "--output", "-", "--format", "jsonl")
    assert json.loads(result.stdout)["status"] == "ok"
    assert [entry.name for entry in tmp_path.iterdir()] == ["photo.png"]


def test_wide_letters_leave_the_end_of_names(photographs, options, tmp_path):
    for number in (1, 2):
        name = "二零二六年我们全家在海边度假时拍的照片第" * 2
        shutil.copy(photographs / "coffee.jpg", tmp_path / f"{name}{number}.jpg")
    said = run(tmp_path, *options).stderr
    assert "1.jpg" in said and "2.jpg" in said


def test_where_nothing_could_be_read_no_folder_is_left(options, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    folder = tmp_path / "new" / "saved"
    result = run(tmp_path / "broken.png", *options, "--save", folder)
    assert result.exit_code == 1
    assert "no picture to save" in result.stderr and "pictures in" not in result.stderr
    assert not folder.parent.exists()


def test_pictures_of_earlier_runs_that_were_replaced_are_told(photographs, options, tmp_path):
    source, saved = photographs / "coffee.jpg", tmp_path / "saved"
    (tmp_path / "other").mkdir()
    namesake = shutil.copy(source, tmp_path / "other")
    told = "1 picture of earlier runs was replaced"
    assert told not in run(source, namesake, *options, "--save", saved).stderr
    assert len(list(saved.iterdir())) == 2
    assert told in run(namesake, *options, "--save", saved).stderr


def test_what_to_do_is_said_once_of_each_kind_of_error(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no image")
    lines = run(tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path / "c.jpg").stderr.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "error:",
        "Give",
        "error:",
        "error:",
        "Check",
        "0",
    ]


def test_an_error_names_its_source_also_where_that_is_a_letter():
    row = FaceRow("1", None, Status.ERROR, reason="an image of 100x100 pixels is too large")
    assert error_line(row) == "1: an image of 100x100 pixels is too large"
    row = FaceRow("1", None, Status.ERROR, reason="cannot open 1: denied")
    assert error_line(row) == "cannot open 1: denied"
