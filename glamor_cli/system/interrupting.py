"""How a signal interrupts a command: as Ctrl-C does, and never where that would break something."""

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from glamor_cli.errors import INTERRUPTED
from glamor_cli.system.stop_signals import STOP_SIGNALS
from glamor_cli.system.waiting_threads import end_at_once, is_loading_torch

_SOON = 0.005
"""Seconds after which a signal that came at a bad moment comes again."""


class _End:
    """How a command ends, once that is known."""

    code = INTERRUPTED


class Interrupted(KeyboardInterrupt):
    """What a signal raises.

    Where ``KeyboardInterrupt`` itself ends code in a string, as when a dataclass is being made,
    CPython ends by SIGINT later on, whatever the exit code.
    """


def let_signals_interrupt() -> None:
    """Let a command end in one way by Ctrl-C, schedulers, service managers and closed terminals.

    It keeps what it has, and the exit code is ``INTERRUPTED``. A training listens by itself while
    it runs.
    """
    own = threading.current_thread() is threading.main_thread()
    for number in STOP_SIGNALS:
        # A command that was started with the signal ignored, as by nohup, is meant to ignore it.
        if own and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
            # First of all that ends with Python, it is called last.
            atexit.register(_ignore, number)


def let_signals_end(code: object) -> None:
    """Let a further signal end a command that is over, while Python waits for its threads.

    An exception there would be shown, or abort the process.

    Args:
        code: As ``SystemExit`` has it; a message of its counts as 1.
    """
    _End.code = code if isinstance(code, int) else int(code is not None)


def _ignore(number: int) -> None:
    # Python puts back what a signal does by default, and so a command that has done its work would
    # end by one that comes in its last milliseconds. What is ignored, it leaves.
    signal.signal(number, _pass_over)
    signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Half loaded, torch takes Python's own end down with it; and nothing is done yet.
    if is_loading_torch(frame):
        _show_cursor()
        os._exit(INTERRUPTED)
    _end_if_python_does(frame)
    if _is_at_an_import_lock(frame):
        threading.Timer(_SOON, _send, (number,)).start()
        return
    if number != signal.SIGINT:
        # Whoever closes terminals and sessions sends several, which must not disturb what it keeps.
        for other in STOP_SIGNALS:
            if other != signal.SIGINT:
                signal.signal(other, _pass_over)
    raise Interrupted


def _show_cursor() -> None:
    """Bring back the terminal's cursor, which a spinner or bar hides until Python's own end."""
    if os.name != "posix" or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, b"\r\x1b[2K\x1b[?25h")
        else:  # turned away, as while engines are tried
            os.write(os.open("/dev/tty", os.O_WRONLY), b"\x1b[?25h")


def _is_at_an_import_lock(frame: FrameType | None) -> bool:
    """Tell whether an exception might leave a lock taken, for which other threads wait for ever.

    Python takes the locks of imports in one line and sees to their release in the next.
    """
    return frame is not None and frame.f_code.co_filename == "<frozen importlib._bootstrap>"


def _send(number: int) -> None:
    if sys.platform == "win32":
        signal.raise_signal(number)
    else:
        # Another thread's would not wake the main one where it waits.
        signal.pthread_kill(threading.main_thread().ident or 0, number)


def _pass_over(_: int, frame: FrameType | None) -> None:
    """Do nothing: of a signal that is on its way when it begins to be ignored, Python complains."""
    _end_if_python_does(frame)


def _end_if_python_does(frame: FrameType | None) -> None:
    """End the process where Python, in its own end, waits for threads."""
    while frame is not None:
        if frame.f_code.co_name == "_shutdown" and frame.f_globals.get("__name__") == "threading":
            end_at_once(_End.code)
        frame = frame.f_back
