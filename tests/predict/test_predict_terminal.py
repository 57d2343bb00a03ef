"""Rows that go elsewhere leave people a bar on their terminal, and the rows alone elsewhere."""

import json
import re
import subprocess
import sys

import pytest
from terminal import run_on_terminal

GLAMOR = (sys.executable, "-m", "glamor_cli")
PREDICT = ("predict", "--device", "cpu", "--threads", "1")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_a_terminal_gets_a_bar_and_a_program_its_rows(photographs, onnx_weights):
    words = [photographs, "--weights", onnx_weights, "--format", "jsonl"]
    code, output, shown = run_on_terminal(*PREDICT, *words, columns=300)
    assert code == 1, shown
    rows = [json.loads(line) for line in output.splitlines()]
    assert len(rows) == 10
    assert re.search(r"predicting ━+ 5/5 [\d.]+ pictures/s", shown), shown
    lines = shown.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert f"error: {photographs / 'fake.jpg'} is not an image of a known kind" in lines
    assert "8 faces, 1 without a face, 1 could not be read" in lines


def test_what_is_no_terminal_gets_no_bar(photographs, onnx_weights, tmp_path):
    words = [photographs / "astronaut.png", "--weights", onnx_weights]
    output = ["--output", tmp_path / "rows.csv"]
    done = subprocess.run(
        [*GLAMOR, *PREDICT, *words, *output], capture_output=True, text=True, check=False
    )
    assert done.stderr == f"1 face, rows in {tmp_path / 'rows.csv'}\n"
