"""A signal leaves no lock of imports taken, and does not end what has done its work."""

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = """
import _imp, signal, sys, threading, time
from glamor_cli.system.interrupting import let_signals_interrupt

def import_anew(name):
    while True:
        sys.modules.pop(name, None)
        __import__(name)

def interrupt_soon():
    time.sleep(0.002)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

let_signals_interrupt()
threading.Thread(target=import_anew, args=["other"], daemon=True).start()
taken = 0
for _ in range(int(sys.argv[1])):
    try:
        threading.Thread(target=interrupt_soon).start()
        import_anew("small")
    except KeyboardInterrupt:
        pass
    try:
        _imp.release_lock()
        taken += 1
    except RuntimeError:
        pass  # this thread had not taken it
print(taken)
"""

ENDING = """
import os, signal, sys
from glamor_cli.system.interrupting import let_signals_interrupt

class Last:
    own, kill, number = os.getpid(), os.kill, signal.Signals[sys.argv[1]]
    def __del__(self):
        Last.kill(Last.own, Last.number)

let_signals_interrupt()
last = Last()
"""


TWICE = """
import os, signal, sys, threading, time
from glamor_cli.cli import app
from glamor_cli.__main__ import main

def interrupt_again():
    number = signal.Signals[sys.argv[1]]
    main_thread = threading.main_thread().ident
    while sys._current_frames()[main_thread].f_code.co_name != "_shutdown":
        time.sleep(0.01)
    os.kill(os.getpid(), number)
    time.sleep(60)

def stop():
    threading.Thread(target=interrupt_again).start()
    print("rows", end="")
    sys.exit(130)

app.app = stop
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a process")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_second_one_ends_a_command_that_waits_for_its_threads(number: str) -> None:
    """Python itself would show a traceback, or abort."""
    command = [sys.executable, "-c", TWICE, number]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (130, "rows", "")


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a thread")
def test_no_lock_of_imports_stays_taken(tmp_path: Path) -> None:
    for name in ("small.py", "other.py"):
        (tmp_path / name).write_text("")
    command = [sys.executable, "-c", IMPORTS, "300"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a process")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_command_that_has_done_its_work_ends_as_if_nothing_came(number: str) -> None:
    command = [sys.executable, "-c", ENDING, number]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
