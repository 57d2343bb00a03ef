"""What is said of sources that a run finds but people may not have meant, or may have missed."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import DataError
from glamor_cli.predict.sources import list_sources


@pytest.fixture
def folder(photographs, tmp_path):
    """Two photographs, beside which pictures can be saved."""
    for name in ("a.png", "b.png"):
        shutil.copy(photographs / "astronaut.png", tmp_path / name)
    return tmp_path


def run(*arguments):
    words = ["predict", *arguments, "--device", "cpu", "--threads", "1", "--format", "jsonl"]
    result = CliRunner().invoke(app, list(map(str, words)))
    assert isinstance(result.exception, SystemExit | None), result.exception
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, rows, result.stderr.splitlines()


def test_named_pictures_of_earlier_runs_are_taken_and_counted(folder):
    code, rows, said = run(*sorted(folder.glob("*.png")), "--save", folder)
    assert (code, len(rows)) == (0, 2)
    assert said == [f"2 faces, pictures in {folder}"]
    # As a shell gives a pattern that is not quoted.
    code, rows, said = run(*sorted(folder.iterdir()))
    assert (code, len(rows)) == (0, 4)
    assert said[-1] == (
        "2 of the files named are pictures that glamor saved; a pattern in quotes skips them"
    )
    code, rows, said = run(folder / "*")
    assert (code, len(rows)) == (0, 2)
    assert said[-1] == f"skipped 2 pictures that glamor saved in {folder}"


def test_pictures_of_kinds_that_are_not_read_are_counted_in_folders_and_globs(folder):
    (folder / "sub").mkdir()
    for name in ("c.NEF", "sub/d.nef", "sub/e.Dng", "._f.nef", "notes.txt"):
        (folder / name).touch()
    (folder / "g.nef").mkdir()
    for source in (folder, folder / "**/*"):
        code, rows, said = run(source)
        assert (code, len(rows)) == (0, 2)
        assert said[-1] == "skipped 3 files of unsupported kinds: .dng, .nef"
    code, rows, said = run(folder / "sub")
    assert (code, rows[0]["status"]) == (1, "error")
    assert said[-1] == "skipped 2 files of unsupported kinds: .dng, .nef"
    assert run(folder / "*.png")[2] == ["2 faces"]


def test_what_is_in_no_file_is_said_to_be_saved_first(folder, monkeypatch):
    monkeypatch.chdir(folder)
    addresses = ("https://example.org/a.jpg", "RTSP://camera/live", "file:///a.png")
    code, rows, said = run("a.png", "-", *addresses)
    assert code == 1
    assert [row["source"] for row in rows] == ["a.png", "-", *addresses]
    assert said[:2] == [
        "error: -: standard input is not read",
        "Save it to a file first, and give that; glamor watch opens cameras.",
    ]
    assert said[2] == f"error: {addresses[0]} is an address, and addresses are not opened"
    # Unless there is such a file.
    (folder / "a.png").rename(folder / "-")
    code, rows, said = run("-")
    assert (code, rows[0]["status"]) == (0, "ok")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), DataError("a", "b")])
@pytest.mark.parametrize("note", ["on_saved", "on_named", "on_unread"])
def test_an_error_of_the_callers_own_is_not_said_of_the_source(folder, note, error):
    """Told as the folder's, the rest of the folder would be left out, and the log unmended."""
    run(folder / "a.png", "--save", folder)
    (folder / "c.nef").touch()
    sources = sorted(folder.iterdir()) if note == "on_named" else [folder]

    def log(path):
        raise error

    with pytest.raises(type(error)) as raised:
        list(list_sources(sources, **{note: log}))
    assert raised.value is error
