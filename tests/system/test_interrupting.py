"""A signal during an import leaves no lock of imports taken, for which other threads would wait."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
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


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals to a thread")
def test_no_lock_of_imports_stays_taken(tmp_path: Path) -> None:
    for name in ("small.py", "other.py"):
        (tmp_path / name).write_text("")
    command = [sys.executable, "-c", PROGRAM, "300"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
