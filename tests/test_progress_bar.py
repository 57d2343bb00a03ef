"""The progress bar on terminals of usual widths, and the lines that a log gets instead."""

import io
import re
import time

import pytest
from rich.console import Console

from glamor_cli.cli import long_progress, render


def last_line(monkeypatch, width: int, doing: str, *calls: dict) -> str:
    shown = io.StringIO()
    terminal = Console(file=shown, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(render, "console", terminal)
    with render.progress_bar("starting", "images") as show:
        for call in calls:
            show(**call, doing=doing)
    return [line for line in shown.getvalue().splitlines() if doing[:5] in line][-1]


@pytest.mark.parametrize(
    ("width", "rate", "shown"), [(80, 1234.0, "1234"), (100, 567.0, "567"), (80, 2.34, "2.3")]
)
def test_a_training_shows_its_steps_its_rate_and_a_whole_time(monkeypatch, width, rate, shown):
    doing = "epoch 12/60  loss 1.234  validation 45.6%"
    line = last_line(monkeypatch, width, doing, {"done": 17940, "total": 53820, "rate": rate})
    assert doing in line
    assert f"17940/53820 {shown} images/s -:--:--" in line


def test_names_are_shown_without_their_control_characters(monkeypatch):
    shown = io.StringIO()
    terminal = Console(file=shown, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(render, "console", terminal)
    with render.progress_bar("opening", "pairs") as show:
        show(1, 2, doing="a\x1b]0;b\u202e.onnx")
    assert r"a\x1b]0;b\u202e.onnx" in shown.getvalue()


def test_a_rate_that_is_not_known_is_not_shown(monkeypatch):
    assert "/s" not in last_line(monkeypatch, 80, "opening", {"done": 7, "total": 7})


def test_a_total_that_is_not_known_yet_is_left_open(monkeypatch):
    line = last_line(monkeypatch, 80, "predicting", {"done": 7, "total": None, "rate": 2.0})
    assert "7/? 2 images/s" in line


def test_a_log_gets_a_line_only_now_and_then(monkeypatch, capsys):
    """A week of steps would fill a disk."""
    monkeypatch.setattr(long_progress, "_LINE_SECONDS", 0.1)
    began, calls = time.monotonic(), 0
    with long_progress.long_progress("training", "images", counted="steps") as show:
        while calls < 100 or time.monotonic() - began < 0.35:
            calls += 1
            show(calls, 10**9, rate=3.0)
    most = (time.monotonic() - began) / 0.1
    assert 1 <= len(capsys.readouterr().err.splitlines()) <= most < calls


def test_time_left_and_rate_in_a_log_count_from_where_a_resumed_run_began(monkeypatch, capsys):
    monkeypatch.setattr(long_progress, "_LINE_SECONDS", 0)
    with long_progress.long_progress("preprocessing", "images") as show:
        show(9000, 9100)
        time.sleep(0.2)
        show(9010, 9100)
        show(0, 50)
        time.sleep(0.1)
        show(10, 50)
        show(11, None)
    first, second, third, fourth = capsys.readouterr().err.splitlines()
    assert first.endswith(", unknown time left")
    left = re.fullmatch(r".* 9010 of 9100 images .*, 0:0(\d):(\d\d) left", second)
    assert 60 * int(left[1]) + int(left[2]) >= 2, "nine times what ten took"
    assert 0 < float(re.search(r", ([\d.]+) images/s", second)[1]) <= 75, "ten in 0.2 s"
    assert third.endswith(", unknown time left"), "the next of several works begins anew"
    assert re.search(r" 10 of 50 images .*, \d:\d\d:\d\d left$", fourth)
