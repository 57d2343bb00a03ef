"""Threads that wait inside a library, or load one, and a command that ends then.

Nothing can interrupt them there. Python must not end before them: the library would call what is
gone, and the process would crash. So Python waits for them. A command that was told to stop should
not.
"""

import os
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn


class WaitingThread(threading.Thread):
    """A thread that may wait in a library for long, and whose work nobody needs once it is left."""


def end_beside_waiting_threads(code: object) -> None:
    """End the process, without Python's own end, if there is such a thread; else do nothing.

    Args:
        code: As ``SystemExit`` has it; a message of its is left to Python.
    """
    waiting = any(isinstance(thread, WaitingThread) for thread in threading.enumerate())
    if not waiting and not any(map(is_loading_torch, sys._current_frames().values())):
        return
    if code is not None and not isinstance(code, int):
        return
    end_at_once(code or 0)


def end_at_once(code: int) -> NoReturn:
    """End the process without Python's own end; what was printed is not lost."""
    for stream in (sys.stdout, sys.stderr):
        # In a signal's handler a stream may be in the middle of the same.
        with suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(code & 0xFF)


def is_loading_torch(frame: FrameType | None) -> bool:
    """Tell whether a thread, by what it is in, is in the middle of torch's import."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__name__") == "torch":
            return True
        frame = frame.f_back
    return False
