"""The doctor must be believed: what it calls ok works, and what it calls missing has a remedy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from environments import SILENT_BY_THEMSELVES
from permissions import bound_by_permissions

from glamor_cli.doctor.examine import examine
from glamor_cli.doctor.findings import FindingStatus
from glamor_cli.files.reading import sha256
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights


def run_doctor(without=(), **environment):
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-m", "glamor_cli", "doctor", "--json", "-"],
        check=False,
        capture_output=True,
        text=True,
        env=inherited | {"COLUMNS": "80"} | environment,
    )
    found = json.loads(done.stdout)
    assert not Path("-").exists()
    rows = {row["name"]: row for row in found["rows"]}
    return done, found, rows


def test_healthy_machine_is_shown_without_foreign_noise_and_nothing_is_reported(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done, found, rows = run_doctor(
        without=SILENT_BY_THEMSELVES, HOME=str(home), MPLCONFIGDIR=str(tmp_path)
    )
    assert not list(home.rglob("*")), "what engines' makers would know this machine by"
    for noise in ("onnxruntime::", "[E:", "[W:", "EP Error", "Traceback", "Warning"):
        assert noise not in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80
    for name in ("CPU", "temporary files", "base", "torch", "CPUExecutionProvider", "centerface"):
        assert rows[name]["status"] == "ok", rows[name]
        assert name in done.stderr
    assert found["versions"]["numpy"]
    for row in found["rows"]:
        assert bool(row["remedy"]) == (row["status"] != "ok"), row
    assert [name for name, row in rows.items() if row["status"] == "broken"] == []
    assert done.returncode == 0


def test_damaged_libraries_are_rows_and_their_cries_are_not_repeated(tmp_path):
    cry = 'import os; print("CRY"); os.write(1, b"CRY"); os.write(2, b"CRY")\n'
    (tmp_path / "tensorrt.py").write_text(f"{cry}raise OSError('libnvinfer.so.11 not found')")
    (tmp_path / "openvino.py").write_text("")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnx is damaged')")
    (tmp_path / "dlib.py").write_text("raise ImportError('no dlib here')")
    (tmp_path / "torch.py").write_text(f"{cry}raise OSError('libtorch_cpu.so: file too short')")
    (tmp_path / "av.py").write_text("raise ImportError('libavcodec.so not found')")
    done, found, rows = run_doctor(PYTHONPATH=str(tmp_path))
    assert "CRY" not in done.stderr
    assert rows["TensorRT"]["status"] == "missing"
    assert "libnvinfer.so.11" in rows["TensorRT"]["detail"]
    assert "--extra trt" in rows["TensorRT"]["remedy"]
    assert "--extra trt" in done.stderr
    # Alone, uv sync would take other extras away.
    assert "uv sync --inexact --extra trt" in rows["TensorRT"]["remedy"]
    assert rows["OpenVINO"]["status"] == "missing"
    assert rows["dlib"]["status"] == "missing"
    assert rows["torch"]["status"] == "broken"
    assert "file too short" in rows["torch"]["detail"]
    assert rows["PyAV"]["status"] == "missing"
    assert "libavcodec.so" in rows["PyAV"]["detail"]
    assert rows["CPUExecutionProvider"]["status"] == "broken"
    assert rows["centerface"]["status"] == "broken"
    assert found["works"] is False
    assert done.returncode == 7


def test_packages_that_do_not_fit_their_neighbours_are_rows(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no operator torchvision::nms')")
    protobuf = "class VersionError(Exception): pass\nraise VersionError('protobuf is too old')\n"
    (tmp_path / "onnx.py").write_text(protobuf)
    (tmp_path / "matplotlib.py").write_text("raise AttributeError('_ARRAY_API not found')")
    done, found, rows = run_doctor(PYTHONPATH=str(tmp_path), COLUMNS="40")
    assert "Traceback" not in done.stderr
    # Narrow terminals show whole words.
    assert {"CPUExecutionProvider:", "centerface:", "installed"} <= set(done.stderr.split())
    assert max(map(len, done.stderr.splitlines())) <= 40
    assert {name for name, row in rows.items() if row["status"] == "broken"} >= {
        "torchvision",
        "onnx",
        "matplotlib",
        "CPUExecutionProvider",
    }
    assert rows["torchvision"]["detail"] == "no operator torchvision::nms"
    assert rows["onnx"]["detail"] == "protobuf is too old"
    assert "onnx does not load" in rows["CPUExecutionProvider"]["detail"]
    # pip and uv leave what is installed as it is unless they are forced.
    for force in ("uv sync --inexact --reinstall", "pip install --force-reinstall"):
        assert force in rows["onnx"]["remedy"]
    assert rows["centerface"]["status"] == "ok"
    assert found["works"] is False
    assert done.returncode == 7


def test_what_another_package_of_onnx_runtime_left_is_a_row(tmp_path):
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    done, found, rows = run_doctor(PYTHONPATH=str(tmp_path))
    assert "Traceback" not in done.stderr
    for name in ("CPUExecutionProvider", "centerface"):
        assert rows[name]["status"] == "broken"
        assert "onnxruntime does not load" in rows[name]["detail"]
        assert "pip uninstall -y onnxruntime onnxruntime-gpu" in rows[name]["remedy"]
    assert found["works"] is False
    assert done.returncode == 7


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setattr("glamor_cli.weights.registry._FOLDERS", (tmp_path,))
    files = {}
    for name in (f"{DEFAULT_WEIGHTS}.onnx", "second.onnx"):
        (tmp_path / name).write_bytes(name.encode())
        files[name] = sha256(tmp_path / name)
    entries = {
        Path(name).stem: {"files": {name: files[name]}, "summary": f"what {name} is for"}
        for name in files
    }
    (tmp_path / "index.json").write_text(json.dumps(entries))
    return tmp_path


def test_weights_are_compared_with_their_checksums(registry):
    (registry / "second.onnx").write_bytes(b"changed")
    rows = {row.name: row for row in examine().rows if row.group == "weights"}
    assert rows[DEFAULT_WEIGHTS].status is FindingStatus.OK
    assert rows[DEFAULT_WEIGHTS].detail.startswith(f"what {DEFAULT_WEIGHTS}.onnx is for")
    assert rows["second"].status is FindingStatus.MISSING
    assert "second.onnx has the wrong checksum" in rows["second"].detail


@pytest.mark.parametrize("text", ['{"glamor-original": {', "[]", '{"glamor-original": {"a": 1}}'])
def test_a_damaged_list_of_weights_is_a_row(registry, text):
    (registry / "index.json").write_text(text)
    (row,) = (row for row in examine().rows if row.group == "weights")
    assert (row.name, row.status, row.detail) == (
        DEFAULT_WEIGHTS,
        FindingStatus.BROKEN,
        "not registered",
    )
    assert find_weights(DEFAULT_WEIGHTS, suffix=".onnx").is_file()


def test_weights_that_may_not_be_read_are_a_row(registry):
    (registry / "second.onnx").chmod(0)
    with bound_by_permissions():
        rows = {row.name: row for row in examine().rows if row.group == "weights"}
    assert rows[DEFAULT_WEIGHTS].status is FindingStatus.OK
    assert "second.onnx cannot be read" in rows["second"].detail


def test_lost_default_weights_break_the_base(registry):
    (registry / f"{DEFAULT_WEIGHTS}.onnx").unlink()
    examination = examine()
    row = next(row for row in examination.rows if row.name == DEFAULT_WEIGHTS)
    assert row.status is FindingStatus.BROKEN
    assert "is missing" in row.detail
    assert not examination.works
