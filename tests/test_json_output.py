"""What programs read is written before what may fail for lack of room, or to a reader that left."""

import json
from pathlib import Path

import pytest

from glamor_cli.cli.json_output import json_first


def test_a_file_comes_before_the_pictures_and_standard_output_after_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"accuracy": 0.5}
    with json_first(tmp_path / "a.json", lambda: content, "figures"):
        assert json.loads((tmp_path / "a.json").read_text()) == content
    with json_first(Path("-"), lambda: content, "figures"):
        assert capsys.readouterr().out == ""
    assert json.loads(capsys.readouterr().out) == content
    with json_first(None, lambda: content, "figures"):
        pass
    assert capsys.readouterr().out == ""
