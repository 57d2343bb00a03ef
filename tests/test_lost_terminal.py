"""A command whose terminal is closed, and that ignores SIGHUP, ends as if it were still there."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")

PROGRAM = """
import sys, time
from glamor_cli.cli.render import console, progress_bar
with progress_bar("working", "images") as show:
    show(1, 3)
    sys.stdin.readline()
    show(2, 3)
    time.sleep(0.5)
    show(3, 3)
console.print("everything is saved")
print("reached the end")
"""


def test_what_is_said_to_nobody_is_no_failure() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        assert b"working" in os.read(ours, 4096) + os.read(ours, 4096)
        os.close(ours)
        said, _ = process.communicate("the terminal is gone\n", timeout=60)
    assert (process.returncode, said) == (0, "reached the end\n")
