"""What ONNX Runtime can load here is asked without taking anything from the program."""

import ctypes
import sys
import time
from threading import Thread
from types import SimpleNamespace

import onnxruntime
import pytest

from glamor_cli.system import onnx_providers


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
