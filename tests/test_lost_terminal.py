"""What is said to people may be lost, with terminal, reader or disk space; the work may not.

A command whose terminal is closed ends as by Ctrl-C; one that ignores SIGHUP goes on.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import skimage.data
from PIL import Image
from small_data_sets import write_image
from waiting import size, wait_until

if sys.platform != "win32":
    import fcntl
    import termios

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")

PREDICT = [*(sys.executable, "-m", "glamor_cli", "predict"), *("--device", "cpu", "--threads", "1")]

PROGRAM = """
import sys, time
from glamor_cli.cli.render import console, progress_bar
with progress_bar("working", "images") as show:
    show(1, 3)
    sys.stdin.readline()
    show(2, 3)
    time.sleep(0.5)
    show(3, 3)
console.print("everything is saved")
print("reached the end")
"""


@pytest.fixture(params=["no reader", "no room"])
def nowhere(request: pytest.FixtureRequest) -> Iterator[int]:
    """What nothing can be written to."""
    if request.param == "no room":
        if not Path("/dev/full").exists():
            pytest.skip("needs a full device")
        stream = os.open("/dev/full", os.O_WRONLY)
    else:
        ours, stream = os.pipe()
        os.close(ours)
    yield stream
    os.close(stream)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a photograph, after what is no image and is said to be none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("1.jpg", "2.jpg"):
        (folder / name).write_text("no image")
    Image.fromarray(skimage.data.astronaut()).save(folder / "3.png")
    return folder


def test_what_is_said_to_nobody_is_no_failure() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env=os.environ | {"TERM": "xterm"},
    ) as process:
        os.close(theirs)
        assert b"working" in os.read(ours, 4096) + os.read(ours, 4096)
        os.close(ours)
        said, _ = process.communicate("the terminal is gone\n", timeout=60)
    assert (process.returncode, said) == (0, "reached the end\n")


def test_progress_that_nobody_reads_is_no_failure(nowhere: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="go on\n",
        stdout=subprocess.PIPE,
        stderr=nowhere,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "reached the end\n")


def test_errors_that_nobody_reads_cost_no_row_and_no_picture(
    nowhere: int, pictures: Path, tmp_path: Path
) -> None:
    where = [*PREDICT, pictures, "--save", tmp_path / "saved"]
    rows = subprocess.run(
        [*where, "--format", "jsonl"], stdout=subprocess.PIPE, stderr=nowhere, check=False
    )
    assert (rows.returncode, len(rows.stdout.splitlines())) == (1, 3)
    # Beside the pictures, the table is not all.
    (tmp_path / "saved" / "3-emotions.jpg").unlink()
    table = subprocess.run(where, stderr=nowhere, check=False)
    assert (table.returncode, len(list((tmp_path / "saved").iterdir()))) == (1, 1)


def test_a_table_that_nobody_reads_is_the_end(pictures: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    assert subprocess.run([*PREDICT, pictures], stderr=theirs, check=False).returncode == 141
    os.close(theirs)


def test_figures_that_nobody_reads_end_alike(tmp_path: Path) -> None:
    write_image(tmp_path / "set" / "Happy" / "0.png")
    ours, theirs = os.pipe()
    os.close(ours)
    words = [tmp_path / "set", tmp_path / "pairs", "--boxes", "whole", "--workers", "1"]
    command = [sys.executable, "-m", "glamor_cli", "preprocess", *words, "--json", "-"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr


def holds_rows(folder: Path) -> bool:
    """Whether whole rows are written: the last one may be in the middle of it."""
    return any(size(part) > 4000 for part in folder.glob(".*.partial.jsonl"))


@pytest.mark.parametrize("ignored", [False, True], ids=["heard", "nohup"])
def test_a_terminal_that_closes_costs_no_row(*, ignored: bool, pictures: Path) -> None:
    ours, theirs = os.openpty()
    rows = pictures.parent / "rows.jsonl"
    count = 100 if ignored else 2000

    def begin() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)

    with subprocess.Popen(
        [*PREDICT, *[pictures / "3.png"] * count, "--batch", "1", "--output", rows],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=begin,  # noqa: PLW1509
    ) as process:
        os.close(theirs)
        wait_until(lambda: holds_rows(rows.parent), process)
        os.close(ours)
        # The system says it a second time when the shell has gone.
        process.send_signal(signal.SIGHUP)
        assert process.wait(240) == (0 if ignored else 130)
    kept = [json.loads(line) for line in rows.read_text().splitlines()]
    assert len(kept) == count if ignored else 0 < len(kept) < count
    assert sorted(entry.name for entry in rows.parent.iterdir()) == ["pictures", "rows.jsonl"]


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_session_sends_several_signals(
    first: signal.Signals, pictures: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    words = [*[pictures / "3.png"] * 2000, "--batch", "1", "--output", rows]
    with subprocess.Popen([*PREDICT, *words], stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: holds_rows(tmp_path), process)
        for number in (first, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
        _, said = process.communicate(timeout=240)
    assert (process.returncode, said.count("\n")) == (130, 1), said
    assert 0 < len(rows.read_text().splitlines()) < 2000
