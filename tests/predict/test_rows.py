"""Every format carries the contract's columns, and any name, unharmed."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from glamor_cli.errors import ConfigError
from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.rows import FaceRow, JsonSink, RowFormat, open_sink
from glamor_cli.predict.sources import SourceImage
from glamor_cli.vision.status import Status

COLUMNS = [
    "source",
    "face",
    "status",
    "box",
    "detector_score",
    "emotion",
    "probability",
    "probabilities",
    "face_weight",
    "context_weight",
    "reason",
]
NASTY = 'a, "b"\n[bold]c[/bold] é\t中.jpg'
ROWS = [
    FaceRow(
        NASTY,
        1,
        Status.OK,
        box=(1, 2, 30, 40),
        detector_score=0.9,
        emotion="Happy",
        probability=0.75,
        probabilities={"Happy": 0.75, "Sad": 0.25},
        face_weight=0.6,
        context_weight=0.4,
    ),
    FaceRow("empty.jpg", None, Status.NO_FACE),
    FaceRow("broken.jpg", None, Status.ERROR, reason="broken.jpg is not an image"),
]


def written(row_format: RowFormat, rows: list[FaceRow]) -> str:
    stream = io.StringIO(newline="")
    sink = open_sink(row_format, stream)
    for row in rows:
        sink.write([row])
    sink.close()
    return stream.getvalue()


def check_values(rows: list[dict]) -> None:
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert rows[0]["source"] == NASTY
    assert rows[0]["box"] == [1, 2, 30, 40]
    assert rows[0]["probabilities"] == {"Happy": 0.75, "Sad": 0.25}
    assert rows[0]["status"] == "ok"
    assert rows[1]["status"] == "no_face"
    assert rows[1]["emotion"] is None
    assert rows[2]["reason"] == "broken.jpg is not an image"


def test_json_lines():
    lines = written(RowFormat.JSONL, ROWS).splitlines()
    check_values([json.loads(line) for line in lines])


def test_json():
    check_values(json.loads(written(RowFormat.JSON, ROWS)))


def test_json_without_rows_is_an_empty_array():
    assert json.loads(written(RowFormat.JSON, [])) == []


def test_the_text_of_a_format_is_the_format():
    sink = open_sink("json", io.StringIO())
    assert isinstance(sink, JsonSink)
    with pytest.raises(ConfigError, match="there is no format 'xml'"):
        open_sink("xml", io.StringIO())


def test_names_and_numbers_of_other_kinds_are_written_too():
    """Programs hold paths, and cameras' programs count in NumPy's numbers."""
    image = SourceImage(Path("a.jpg"), np.zeros((4, 4, 3), np.uint8))
    answer = FramePrediction(image.source, ("Happy",), frame=np.int64(3), time=np.float32(0.5))
    (row,) = [json.loads(line) for line in written(RowFormat.JSONL, answer.rows()).splitlines()]
    assert row["source"] == "a.jpg"
    (kept,) = answer.rows()
    assert type(kept.frame) is int


def test_csv():
    rows = list(csv.DictReader(io.StringIO(written(RowFormat.CSV, ROWS), newline="")))
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 3
    assert rows[0]["source"] == NASTY
    assert json.loads(rows[0]["box"]) == [1, 2, 30, 40]
    assert json.loads(rows[0]["probabilities"]) == {"Happy": 0.75, "Sad": 0.25}
    assert float(rows[0]["probability"]) == 0.75
    assert rows[0]["status"] == "ok"
    assert rows[1]["emotion"] == rows[1]["face"] == ""


def test_what_has_no_value_is_an_empty_cell_whatever_the_name_holds():
    """Polars takes a quoted empty cell for text, and with it a whole column of numbers."""
    row = FaceRow("a\rb.jpg", None, Status.NO_FACE)
    assert written(RowFormat.CSV, [row]).endswith('\n"a\rb.jpg",,no_face,,,,,,,,\n')


@pytest.mark.parametrize("row_format", [RowFormat.JSONL, RowFormat.JSON, RowFormat.CSV])
def test_rows_are_passed_on_as_they_come(row_format, tmp_path):
    """Whoever reads along waits for none; a file of rows is held back by its buffer otherwise."""
    path = tmp_path / "rows"
    with path.open("w", encoding="utf-8", newline="") as stream:
        sink = open_sink(row_format, stream)
        sink.write([FaceRow("a.jpg", None, Status.NO_FACE)])
        assert "a.jpg" in path.read_text(encoding="utf-8")
        sink.write([FaceRow("b.jpg", None, Status.NO_FACE)])
        assert "b.jpg" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("row_format", [RowFormat.JSONL, RowFormat.JSON])
def test_a_name_that_is_no_unicode_comes_back_whole(row_format, tmp_path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    path = tmp_path / "rows"
    # As the command opens its streams.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        sink = open_sink(row_format, stream)
        sink.write([FaceRow(name, None, Status.NO_FACE)])
        sink.close()
    read = json.loads(path.read_text(encoding="utf-8"))
    assert (read[0] if row_format is RowFormat.JSON else read)["source"] == name
