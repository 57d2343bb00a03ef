"""Results that cannot be written are refused before the work, and not after it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import skimage.data
from permissions import bound_by_permissions
from PIL import Image
from typer.testing import CliRunner

import glamor_cli
from glamor_cli.cli.app import app
from glamor_cli.cli.input_files import store_files, weights_files
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.weights.registry import find_weights

COMMANDS = {
    "evaluate": ("evaluate STORE", ("--json",), "--report"),
    "attention": ("attention STORE", ("--json",), "--save"),
    "compare": ("compare STORE a b", ("--json",), "--report"),
    "bench": ("bench --weights STORE", ("--json", "--csv", "--plot"), None),
    "preprocess": ("preprocess STORE OUT", ("--json",), None),
    "ablate": ("ablate STORE", ("--json",), None),
    "predict": ("predict STORE", ("--output",), "--save"),
    "explain": ("explain STORE", ("--output",), None),
    "export": ("export --weights STORE", ("--output",), "--triton-repository"),
    "doctor": ("doctor", ("--json",), None),
}


def fill(words: str, **paths: Path) -> list[str]:
    """Split a command, and put paths in the places of words: they may have spaces."""
    return [str(paths.get(word, word)) for word in words.split()]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_look_at_outputs_before_anything_else(command: str, tmp_path: Path) -> None:
    """The store or weights are missing, too: that they do not complain of it shows the order."""
    words, files, folder = COMMANDS[command]
    arguments = fill(words, STORE=tmp_path / "missing")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("kept")
    for option in files:
        ended = CliRunner().invoke(app, [*arguments, option, str(tmp_path / "folder.png")])
        assert isinstance(ended.exception, ConfigError), option
        assert "folder.png is a folder" in ended.exception.what
        assert ended.stderr == "", "nothing was done before"
    if folder is not None:
        ended = CliRunner().invoke(app, [*arguments, folder, str(tmp_path / "file")])
        assert isinstance(ended.exception, ConfigError)
        assert str(tmp_path / "file") in ended.exception.what
        assert not isinstance(ended.exception, DataError)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("evaluate STORE", ("--json", "--report")),
        ("attention STORE", ("--json", "--save")),
        ("compare STORE a b", ("--json", "--report")),
        ("bench --weights STORE", ("--json", "--csv")),
        ("bench --weights STORE", ("--csv", "--plot")),
        ("predict STORE", ("--output", "--save")),
        ("export --weights STORE", ("--output", "--triton-repository")),
        ("export --weights STORE --trt", ("--output", "--timing-cache")),
    ],
)
def test_two_results_of_one_name_are_refused_before_anything_is_made(
    words: str, options: tuple[str, str], tmp_path: Path
) -> None:
    """The last one written would be all that is left."""
    (tmp_path / "link").symlink_to(tmp_path)
    one, other = tmp_path / "x.png", tmp_path / "link" / "x.png"
    arguments = fill(words, STORE=tmp_path / "missing")
    ended = CliRunner().invoke(app, [*arguments, options[0], str(one), options[1], str(other)])
    assert isinstance(ended.exception, ConfigError)
    assert "two results have the same name" in ended.exception.what
    assert [entry.name for entry in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(
    ("words", "folder", "own"),
    [
        ("evaluate STORE", "--report", "metrics.json"),
        ("compare STORE a b", "--report", "comparison.json"),
        ("attention STORE", "--save", "gallery.png"),
        ("attention STORE", "--save", "hiding.png"),
        ("attention STORE", "--save", "streams.png"),
    ],
)
def test_a_result_may_not_have_the_name_of_a_file_of_the_folder_beside_it(
    words: str, folder: str, own: str, tmp_path: Path
) -> None:
    """The one that comes last would be all that is left."""
    arguments = fill(words, STORE=tmp_path / "missing")
    report = tmp_path / "report"
    ended = CliRunner().invoke(app, [*arguments, "--json", str(report / own), folder, str(report)])
    assert isinstance(ended.exception, ConfigError)
    assert "two results have the same name" in ended.exception.what
    assert not report.exists()


def test_what_can_be_written_is_left_alone(tmp_path: Path) -> None:
    older = tmp_path / "older.json"
    older.write_text("kept")
    (tmp_path / "link.json").symlink_to(tmp_path / "new" / "target.json")
    require_writable(older, tmp_path / "a" / "b" / "new.json", Path("-"), None, folder=tmp_path)
    require_writable(Path(os.devnull), tmp_path / "link.json", folder=tmp_path / "a" / "b")
    require_writable(Path(os.devnull), Path(os.devnull), Path("-"), folder=Path("-"))
    assert older.read_text() == "kept"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.json", "older.json"]


@pytest.mark.skipif(os.name != "posix", reason="makes a pipe with a name")
def test_nothing_is_replaced_where_a_pipe_or_a_device_is_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing").symlink_to(os.devnull)
    for path in (tmp_path / "pipe", tmp_path / "nothing", Path(os.devnull)):
        require_writable(path, path, sources=[path])


def test_the_files_that_a_name_of_weights_stands_for_are_not_written_over() -> None:
    files = list(weights_files("glamor-original"))
    assert {file.name for file in files} == {
        "glamor-original.safetensors",
        "glamor-original.onnx",
        "index.json",
    }
    assert all(file.is_file() for file in files)
    require_writable(Path("glamor-original"), sources=files)  # a file of that name is another


@pytest.mark.parametrize("weights", [(), ("--weights", "glamor-original.safetensors")])
def test_an_export_in_the_folder_of_the_weights_leaves_them_as_they_are(
    weights: tuple[str, ...], tmp_path: Path
) -> None:
    """Where they lie, its own name for the file is that of a registered one."""
    package = Path(glamor_cli.__file__).parent
    for folder in (package, package.parent / "weights"):
        unneeded = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder, tmp_path / folder.name, ignore=unneeded)
    exported = tmp_path / "weights" / "glamor-original.onnx"
    before = exported.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "glamor_cli", "export", *weights, "--batch-max", "2"],
        cwd=exported.parent,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "glamor-original.onnx is also an input" in done.stderr
    assert exported.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        "predict PHOTO --weights OWN --format csv --output OWN",
        "export --weights OWN --with-preprocessing --output OWN",
        "export --weights OWN --trt --timing-cache OWN",
    ],
)
def test_no_weights_are_written_over(words: str, tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    shutil.copy(find_weights("glamor-original", suffix=".onnx"), own)
    before = own.read_bytes()
    photograph = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(photograph)
    ended = CliRunner().invoke(app, fill(words, PHOTO=photograph, OWN=own))
    assert isinstance(ended.exception, ConfigError)
    assert "own.onnx is also an input" in ended.exception.what
    assert own.read_bytes() == before


def test_a_report_in_the_data_sets_folder_is_written_again(tmp_path: Path) -> None:
    for name in ("report.txt", "report.json", "results.csv"):
        (tmp_path / name).write_text("older")
        require_writable(tmp_path / name, data_sets=[tmp_path, tmp_path / "manifest.csv"])


def test_pictures_among_scenes_of_which_only_the_cues_are_read_are_drawn_again(
    tmp_path: Path,
) -> None:
    looked = tmp_path / "looked"
    looked.mkdir()
    (looked / "gallery.png").touch()
    words = fill("attention STORE --scenes SET --save LOOKED", SET=tmp_path, LOOKED=looked)
    ended = CliRunner().invoke(app, words)
    assert isinstance(ended.exception, DataError), "the missing store is what is complained of"


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConfigError, match=r"cannot write .*x.json"):
        require_writable(tmp_path / "file" / "x.json")
    with pytest.raises(ConfigError, match=r"cannot write .*loop"):
        require_writable(tmp_path / "loop")
    # As to a disk that is not mounted.
    (tmp_path / "lost").symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"the link .*lost leads to nothing"):
        require_writable(tmp_path / "lost" / "x.json")
    for folder in (tmp_path / "lost", tmp_path / "lost" / "deep"):
        with pytest.raises(ConfigError, match=r"the link .*lost leads to nothing"):
            require_writable(folder=folder)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with bound_by_permissions(), pytest.raises(ConfigError, match="may not be written to"):
        require_writable(locked / "x.json")
    for folder in (locked, locked / "deep" / "report"):
        with bound_by_permissions(), pytest.raises(ConfigError, match="may not be written to"):
            require_writable(folder=folder)
    # Where a link leads, and not where it lies, is what is written to.
    (tmp_path / "link.json").symlink_to(locked / "x.json")
    with bound_by_permissions(), pytest.raises(ConfigError, match="may not be written to"):
        require_writable(tmp_path / "link.json")


INPUTS = {
    "store/store.json": (
        "evaluate store --json",
        "compare store a b --json",
        "attention store --json",
        "ablate store --json",
        "preprocess set store --json",
    ),
    "store/test/index.csv": ("evaluate store --json", "preprocess set store --json"),
    "net.onnx": (
        "evaluate store --weights net.onnx --json",
        "compare store a net.onnx --json",
        "attention store --weights net.onnx --json",
        "bench --export net.onnx --csv",
    ),
    "net.engine.json": ("evaluate store --weights net.engine --json",),
    "set/list.csv": ("preprocess set/list.csv store --json",),
    "set/manifest.csv": ("preprocess set store --json",),
    "set/crop/Happy/a.txt": ("preprocess set store --json",),
    "set/Happy/a.png": (
        "bench --images set --json",
        "preprocess set store --json",
        "preprocess set/list.csv store --json",
    ),
    "set/cues.csv": (
        "attention store --scenes set --json",
        "ablate store --scenes set --json",
    ),
    "run/full-0/result.json": ("ablate store --run run --json",),
}


@pytest.mark.parametrize(("name", "commands"), INPUTS.items())
def test_nothing_that_is_read_is_written_over(
    name: str, commands: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for written in ("store/test/index.csv", name):
        Path(written).parent.mkdir(parents=True, exist_ok=True)
        Path(written).write_text("kept")
    Path("link").symlink_to(Path(name).absolute())
    for command in commands:
        for target in (name, str(tmp_path / name), "link"):
            ended = CliRunner().invoke(app, [*command.split(), target])
            assert isinstance(ended.exception, ConfigError), (command, target)
            assert target in ended.exception.what
            assert "Give the result another name." in ended.exception.remedy
    assert Path(name).read_text() == "kept"


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="has no shared memory")
def test_files_in_shared_memory_are_files_and_no_devices() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name, "list.csv")
        path.write_text("kept")
        with pytest.raises(ConfigError, match="two results have the same name"):
            require_writable(path, path)
        with pytest.raises(ConfigError, match="is also an input"):
            require_writable(path, sources=[path])
        with pytest.raises(ConfigError, match="is a folder"):
            require_writable(path.parent)
        require_writable(path)


def test_results_beside_what_is_read_are_replaced(tmp_path: Path) -> None:
    for name in ("store/store.json", "store/test/index.csv", "set/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("store/figures.json", "set/report.json"):
        (tmp_path / name).write_text("older")
        sources = [*store_files(tmp_path / "store"), tmp_path / "set"]
        require_writable(tmp_path / name, sources=sources, data_sets=[tmp_path / "set", None])


@pytest.mark.parametrize(
    ("words", "result"),
    [
        ("preprocess FOLDER NEW", "new/store.json"),
        ("preprocess FOLDER NEW", "new"),
        ("ablate FOLDER --run NEW", "new"),
    ],
)
def test_what_is_to_be_made_is_not_written_over(words: str, result: str, tmp_path: Path) -> None:
    """A result that has the name of its folder could not be written after all the work."""
    arguments = fill(words, FOLDER=tmp_path, NEW=tmp_path / "new")
    ended = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / result)])
    assert isinstance(ended.exception, ConfigError)
    assert f"{result} has another use in this command" in ended.exception.what
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["predict PHOTO --format csv --output LINK", "explain PHOTO --output LINK"]
)
def test_no_photograph_is_written_over(words: str, tmp_path: Path) -> None:
    photograph = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).save(photograph)
    before = photograph.read_bytes()
    (tmp_path / "link.png").symlink_to(photograph)
    for name in ("photo.png", "link.png"):
        ended = CliRunner().invoke(app, fill(words, PHOTO=photograph, LINK=tmp_path / name))
        assert isinstance(ended.exception, ConfigError)
        assert f"{name} is also an input" in ended.exception.what
    assert photograph.read_bytes() == before
