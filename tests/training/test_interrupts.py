"""Whose signals a training takes while it runs, and what it leaves alone."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glamor_cli.system.stop_signals import HANGUP, STOP_SIGNALS
from glamor_cli.training.interrupts import StopRequest

FOREIGN = """
#include <signal.h>
static void hear(int number) { (void)number; }
__attribute__((constructor)) static void begin(void) { signal(SIGTERM, hear); }
"""


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_an_ignored_signal_stays_ignored(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(number)
            assert not stop.requested
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(HANGUP is None, reason="sends SIGHUP")
@pytest.mark.parametrize("first", STOP_SIGNALS)
def test_a_terminal_that_closes_never_asks_twice(first: signal.Signals) -> None:
    assert HANGUP is not None
    heard: list[int] = []
    before = signal.signal(HANGUP, lambda number, _: heard.append(number))
    try:
        with StopRequest() as stop:
            # Sessions that end send SIGTERM, and then this.
            for number in (first, HANGUP, HANGUP):
                signal.raise_signal(number)
            assert stop.requested
        assert heard == []
        signal.raise_signal(HANGUP)
        assert heard == [HANGUP]
    finally:
        signal.signal(HANGUP, before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="preloads a library")
def test_a_handler_of_the_program_around_python_is_left_alone(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = tmp_path / "foreign.c", tmp_path / "foreign.so"
    source.write_text(FOREIGN)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    program = (
        "import signal\n"
        "from glamor_cli.training.interrupts import StopRequest\n"
        "assert signal.getsignal(signal.SIGTERM) is None\n"
        "with StopRequest() as stop: signal.raise_signal(signal.SIGTERM)\n"
        "print(stop.requested)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "False\n", done.stderr
