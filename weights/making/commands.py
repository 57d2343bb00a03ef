"""Running commands of ours from a program that may be stopped meanwhile."""

import signal
import subprocess
import sys

from glamor_cli.system.stop_signals import HANGUP


def glamor(*arguments: object) -> None:
    """Run a command of ours; its failure is this program's end."""
    command = [sys.executable, "-m", "glamor_cli", *map(str, arguments)]
    process = subprocess.Popen(command)
    _wait(process)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Wait for a command, also where this program is stopped, for the command saves then."""
    try:
        process.wait()
    except KeyboardInterrupt:
        # The terminal told it too.
        _wait(process)
        raise
    except SystemExit:
        # A training that the scheduler told, too, would end at once by a second SIGTERM.
        hears = HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN
        process.send_signal(HANGUP if hears else signal.SIGTERM)
        _wait(process)
        raise
