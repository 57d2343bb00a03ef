"""What ONNX Runtime can load here is asked without taking anything from the program."""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import onnxruntime
import pytest

from glamor_cli.system import onnx_providers
from glamor_cli.system.onnx_library import ONNX_RUNTIME_PACKAGE


def test_two_threads_that_ask_at_once_leave_standard_output_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine with a driver; the libraries take a while to load, and are not there."""

    def cannot(*_: object, **__: object) -> None:
        raise OSError("not here")

    monkeypatch.setattr(onnx_providers, "query_driver", lambda: SimpleNamespace(problem=None))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: time.sleep(0.3), raising=False)
    monkeypatch.setattr(ctypes, "CDLL", cannot)
    monkeypatch.setattr(sys, "platform", "linux")
    onnx_providers._cuda_problem.cache_clear()
    before = sys.stdout
    threads = [Thread(target=onnx_providers.cuda_problem) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
        assert sys.stdout is before
        assert "does not load: not here" in str(onnx_providers.cuda_problem())
    finally:
        sys.stdout = before
        onnx_providers._cuda_problem.cache_clear()


def test_a_build_without_cuda_that_lies_over_the_one_with_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is installed, as pip says."""
    for name in ("onnxruntime", "onnxruntime_gpu"):
        folder = tmp_path / f"{name}-1.23.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.23.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    onnx_providers._cuda_problem.cache_clear()
    try:
        problem = str(onnx_providers.cuda_problem())
    finally:
        onnx_providers._cuda_problem.cache_clear()
    assert "lies over onnxruntime-gpu" in problem
    assert f"uninstall both, then install '{ONNX_RUNTIME_PACKAGE}'" in problem


def test_the_package_to_install_is_the_one_that_glamor_asks_for() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    assert f'"{ONNX_RUNTIME_PACKAGE}>=' in project.read_text()


OPEN_A_NETWORK = """
from glamor_cli.cli import app
from glamor_cli.__main__ import main
from glamor_cli.runtimes.base import open_runtime

app.app = lambda: open_runtime("glamor-original")
main()
"""


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "glamor_cli", "predict", "photo.png", "--format", "csv"],
        ["-c", OPEN_A_NETWORK],  # as evaluate does
    ],
)
def test_what_another_package_of_it_left_is_told(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 7
    what, remedy = done.stderr.splitlines()
    assert what.startswith("error: onnxruntime does not load (")
    assert remedy.startswith("Reinstall it: pip uninstall -y onnxruntime onnxruntime-gpu")
    assert ONNX_RUNTIME_PACKAGE in remedy
