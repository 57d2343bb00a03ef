"""The progress bar on terminals of usual widths."""

import io

import pytest
from rich.console import Console

from glamor_cli.cli import render


def last_line(monkeypatch, width: int, doing: str, *calls: dict) -> str:
    shown = io.StringIO()
    terminal = Console(file=shown, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(render, "console", terminal)
    with render.progress_bar("starting", "images") as show:
        for call in calls:
            show(**call, doing=doing)
    return [line for line in shown.getvalue().splitlines() if doing[:5] in line][-1]


@pytest.mark.parametrize("width", [80, 100])
def test_a_training_shows_its_steps_its_rate_and_a_whole_time(monkeypatch, width):
    doing = "epoch 12/60  loss 1.234  validation 45.6%"
    line = last_line(monkeypatch, width, doing, {"done": 17940, "total": 53820, "rate": 1234.0})
    assert doing in line
    assert "17940/53820 1234 images/s -:--:--" in line


def test_a_rate_that_is_not_known_is_not_shown(monkeypatch):
    assert "/s" not in last_line(monkeypatch, 80, "opening", {"done": 7, "total": 7})


def test_a_total_that_is_not_known_yet_is_left_open(monkeypatch):
    line = last_line(monkeypatch, 80, "predicting", {"done": 7, "total": None, "rate": 2.0})
    assert "7/? 2 images/s" in line
