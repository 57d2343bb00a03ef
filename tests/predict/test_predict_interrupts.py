"""Runs over images that are stopped: the rows so far stay whole."""

import json
import os
import signal
import subprocess
import sys

import pytest
from waiting import size, wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_rows_so_far_are_kept_after_ctrl_c_and_sigterm(stop, photographs, options, tmp_path):
    """Both end it with 130: a stopped command has one exit code, as a stopped training has."""
    rows = tmp_path / "rows.json"
    sources = [str(photographs / "astronaut.png")] * 2000
    command = [sys.executable, "-m", "glamor_cli", "predict", *sources, *options]
    command += ["--output", str(rows), "--batch", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(
            lambda: any(size(part) > 500 for part in tmp_path.glob(".*.partial.json")), process
        )
        process.send_signal(stop)
        assert process.stderr is not None
        message = process.stderr.read()
        assert process.wait(240) == 130, message
    assert "Traceback" not in message
    kept = json.loads(rows.read_text(encoding="utf-8"))
    assert 0 < len(kept) < 2000
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.json"]


READING = """
from glamor_cli.__main__ import main
from glamor_cli.predict import predictor

read = predictor.read_source

def say_and_read(path):
    print("reading", flush=True)
    return read(path)

predictor.read_source = say_and_read
main()
"""


def test_ctrl_c_before_the_first_row_leaves_an_older_file(photographs, options, tmp_path):
    rows = tmp_path / "rows.json"
    rows.write_text("older")
    # One batch of all, so that no row comes before the last image is read.
    sources = [str(photographs / "astronaut.png")] * 2000
    command = [sys.executable, "-c", READING, "predict", *sources, *options]
    command += ["--output", str(rows), "--batch", "2000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "reading\n", process.stderr.read()
        assert list(tmp_path.glob(".*.partial.json"))
        process.send_signal(signal.SIGINT)
        message = process.stderr.read()
        assert process.wait(240) == 130, message
    assert message == ""
    assert rows.read_text() == "older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.json"]
