"""A Ctrl-C that falls into an import ends a command quietly, and is told as nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import run_on_terminal

from glamor_cli.errors import BackendUnavailable
from glamor_cli.system.extras import importing

INTERRUPTED_LIBRARY = """
try:
    raise KeyboardInterrupt
except KeyboardInterrupt as error:
    raise ImportError("initialization failed") from error
"""


def run(libraries: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "glamor_cli", *words],
        env=os.environ | {"PYTHONPATH": f"{libraries}:{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_predict_is_interrupted(libraries: Path) -> None:
    (libraries / "photo.png").write_bytes(b"")
    done = run(libraries, "predict", str(libraries / "photo.png"), "--format", "csv")
    assert done.returncode == 130
    assert done.stderr in ("", "interrupted: no row was written yet\n")


@pytest.mark.parametrize("library", ["onnxruntime", "PIL", "numpy"])
def test_a_library_that_makes_an_import_error_of_it(library: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(INTERRUPTED_LIBRARY)
    assert_predict_is_interrupted(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_class_that_was_just_being_made_of_a_string(number: str, tmp_path: Path) -> None:
    code = f"import signal; exec('signal.raise_signal(signal.{number})')"
    (tmp_path / "PIL.py").write_text(f"{code}\n")
    assert_predict_is_interrupted(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_while_torch_loads_a_training_ends_at_once(number: str, tmp_path: Path) -> None:
    # As the real one does when it is interrupted in the middle.
    (tmp_path / "torch.py").write_text(
        "import atexit, os, signal\n"
        "atexit.register(os.abort)\n"
        f"try: signal.raise_signal(signal.{number})\n"
        "except BaseException: raise TypeError('half loaded')\n"
    )
    done = run(tmp_path, "train", str(tmp_path), "--run", str(tmp_path / "run"))
    assert (done.returncode, done.stderr) == (130, "")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
@pytest.mark.parametrize("words", [["export", "--output", "n.onnx"], ["bench", "--what", "core"]])
def test_while_torch_loads_the_cursor_that_a_spinner_hid_comes_back(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("import signal; signal.raise_signal(signal.SIGINT)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    code, _, shown = run_on_terminal(*words, columns=80, escapes=True)
    assert code == 130
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_while_a_thread_loads_torch_nobody_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600)\n"
    )
    (tmp_path / "photo.png").write_bytes(b"")
    weights = Path(__file__).parents[1] / "weights" / "glamor-original.safetensors"
    words = ["predict", str(tmp_path / "photo.png"), "--weights", str(weights)]
    done = run(tmp_path, *words, "--output", str(tmp_path / "out" / "rows.csv"))
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_training_stopped_before_it_begins_says_so(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("import signal; signal.raise_signal(signal.SIGTERM)\n")
    done = run(tmp_path, "train", str(tmp_path), "--run", str(tmp_path / "run"))
    said = "stopped before the first step; nothing to save\n"
    assert (done.returncode, done.stderr) == (130, said)


def test_the_first_moment_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = run(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (130, "")


def test_only_what_is_not_there_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lacks_a_part.py").write_text("import of_which_nobody_has_heard\n")
    (tmp_path / "was_interrupted.py").write_text(INTERRUPTED_LIBRARY)
    with (
        pytest.raises(BackendUnavailable) as absent,
        importing("of_which_nobody_has_heard", "it is not installed", "Install it."),
    ):
        import of_which_nobody_has_heard  # noqa: F401
    assert absent.value.what == "it is not installed"
    with (
        pytest.raises(BackendUnavailable) as broken,
        importing("lacks_a_part", "it is not installed", "Install it."),
    ):
        import lacks_a_part  # noqa: F401
    assert broken.value.what.startswith("lacks_a_part does not load (No module named 'of_which")
    (tmp_path / "is_not_mapped.py").write_text(
        'raise ImportError("libwhole.so: failed to map segment from shared object")\n'
    )
    with (
        pytest.raises(BackendUnavailable) as whole,
        importing("is_not_mapped", "it is not installed", "Install it."),
    ):
        import is_not_mapped  # noqa: F401
    assert whole.value.remedy.startswith("Raise the limit of memory")
    with (
        pytest.raises(KeyboardInterrupt),
        importing("was_interrupted", "it is not installed", "Install it."),
    ):
        import was_interrupted  # noqa: F401
