"""Rows that go elsewhere leave people a bar on their terminal, and the rows alone elsewhere."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress

import pytest

PREDICT = [*(sys.executable, "-m", "glamor_cli", "predict"), *("--device", "cpu", "--threads", "1")]


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_a_terminal_gets_a_bar_and_a_program_its_rows(photographs, onnx_weights):
    ours, theirs = os.openpty()
    unset = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    with subprocess.Popen(
        [*PREDICT, photographs, "--weights", onnx_weights, "--format", "jsonl"],
        env=environment | {"TERM": "xterm", "COLUMNS": "300", "PYTHONIOENCODING": "utf-8"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # as Linux says that nobody writes there any more
            while piece := os.read(ours, 65536):
                shown += piece
        rows = [json.loads(line) for line in process.stdout.read().splitlines()]
        assert process.wait(120) == 1, shown
    os.close(ours)
    assert len(rows) == 10
    plain = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert re.search(r"predicting ━+ 5/5 [\d.]+ pictures/s", plain), plain
    lines = plain.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert f"error: {photographs / 'fake.jpg'} is not an image of a known kind" in lines
    assert "8 faces, 1 without a face, 1 could not be read" in lines


def test_what_is_no_terminal_gets_no_bar(photographs, onnx_weights, tmp_path):
    words = [photographs / "astronaut.png", "--weights", onnx_weights]
    output = ["--output", tmp_path / "rows.csv"]
    done = subprocess.run([*PREDICT, *words, *output], capture_output=True, text=True, check=False)
    assert done.stderr == f"1 face, rows in {tmp_path / 'rows.csv'}\n"
