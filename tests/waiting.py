"""Waiting for what another process does, however busy the machine is."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


def wait_until(
    condition: Callable[[], object], process: subprocess.Popen[Any] | None = None
) -> None:
    """Wait; a process that ends first has failed or was too fast to be disturbed."""
    deadline = time.monotonic() + 240
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        if time.monotonic() > deadline:
            pytest.fail("waited too long")
        time.sleep(0.002)


def size(path: Path) -> int:
    """Bytes of a file; -1 while there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return -1
