"""What tables hold is whole in any number of columns."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from glamor_cli.cli import tables


def shown(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    file = io.StringIO()
    monkeypatch.setattr(tables, "console", Console(file=file, width=width))
    table = Table("label")
    table.add_column("network", overflow="fold")
    table.add_column("accuracy,\npoints", justify="right")
    table.add_column(Text("[p]"), justify="right")
    name = "a-name-of-some-length/best.safetensors"
    table.add_row(Text("[Anger]"), name, "+0.1 (-19.8 to +19.8)", "0.0001")
    table.add_row("Surprise", "b", "-0.1 (-20.8 to +20.8)", "")
    tables.print_table(table)
    assert all(len(line) <= width for line in file.getvalue().splitlines())
    return file.getvalue()


@pytest.mark.parametrize("width", [70, 80, 200])
def test_a_table_is_one_where_it_has_room_and_folds_what_may_be_folded(monkeypatch, width):
    said = shown(monkeypatch, width)
    for cell in ("[Anger]", "Surprise", "+0.1 (-19.8 to +19.8)", "0.0001"):
        assert cell in said
    assert ("a-name-of-some-length/best.safetensors" in said) is (width == 200)


@pytest.mark.parametrize("width", [20, 40, 60])
def test_where_it_has_none_each_row_is_a_line_of_whole_words(monkeypatch, width):
    lines = " ".join(shown(monkeypatch, width).split())
    assert lines.startswith("label [Anger]: network ")
    assert "accuracy, points +0.1 (-19.8 to +19.8); [p] 0.0001 Surprise: network b" in lines
    assert lines.endswith("accuracy, points -0.1 (-20.8 to +20.8)")
