"""The table of faces on terminals of any width."""

import io
from dataclasses import replace

import pytest
from rich.console import Console
from rich.live import Live

from glamor_cli.cli.face_table import FaceTable
from glamor_cli.cli.live_table import LiveTable
from glamor_cli.cli.render import console
from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.rows import FaceRow
from glamor_cli.vision.status import Status


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (80, ("Neutral", "\u2588", "Happy 0%", "0%:100%"), ()),
        (70, ("Neutral", "Happy 0%", "0%:100%"), ("\u2588",)),
        (60, ("Neutral", "0%:100%"), ("\u2588", "Happy 0%")),
        (50, ("Neutral", "0%:100%"), ("\u2588", "Happy 0%")),
        (40, ("Neutral",), ("\u2588", "Happy 0%", "0%:100%")),
        (12, (), ("\u2588", "Happy 0%", "0%:100%")),
    ],
)
def test_whole_columns_leave_and_no_figure_is_cut(width, shown, left_out, monkeypatch):
    monkeypatch.setattr(console, "_width", width)
    probabilities = dict.fromkeys(EMOTIONS, 0.0) | {"Neutral": 1.0, "Happy": 1e-9}
    row = FaceRow(
        "a/very/long/folder/of/photographs/photo-17.jpg",
        1,
        Status.OK,
        emotion="Neutral",
        probability=1.0,
        probabilities=probabilities,
        face_weight=0.0,
        context_weight=1.0,
    )
    last = replace(row, face=1234)
    with console.capture() as captured:
        table = FaceTable()
        table._bar = "\u2588"
        table.write([row, last, FaceRow("coffee.jpg", None, Status.NO_FACE)])
    said = captured.get()
    assert all(len(line.rstrip()) <= width for line in said.splitlines())
    if width >= 40:
        assert " 1 Neutral" in said and " 100%" in said and "17.jpg" in said and "no face" in said
        assert "1234 Neutral" in said
        assert "\u2026" not in said
    for text in shown:
        assert text in said
    for text in left_out:
        assert text not in said


@pytest.mark.parametrize("name", ["a feeling with a long name", "\u559c\u3073" * 6])
def test_long_names_leave_the_figures_whole(name, monkeypatch):
    monkeypatch.setattr(console, "_width", 80)
    row = FaceRow(
        "photo.jpg",
        1,
        Status.OK,
        emotion="Happy",
        probability=0.6,
        probabilities={"Happy": 0.6, name: 0.4},
        face_weight=0.5,
        context_weight=0.5,
    )
    with console.capture() as captured:
        FaceTable().write([row])
    line = captured.get().splitlines()[-1]
    assert f" {name[:4]}" in line and "\u2026 40%" in line


@pytest.mark.parametrize("name", ["[sad]", "[/sad]"])
def test_brackets_in_the_names_of_classes_are_shown(name):
    row = FaceRow(
        "camera",
        1,
        Status.OK,
        emotion=name,
        probability=0.6,
        probabilities={name: 0.6, "[bold]": 0.4},
        face_weight=0.5,
        context_weight=0.5,
    )
    file = io.StringIO()
    with Live(console=Console(file=file, force_terminal=True, width=80)) as live:
        LiveTable(live).write([row])
    with console.capture() as captured:
        FaceTable().write([row])
    for said in (file.getvalue(), captured.get()):
        assert f"1 {name} " in said and "[bold] 40%" in said
