"""Threads that wait inside a library, where nothing reaches them, and a command that ends then.

Python must not end before them: what the library calls of it would be gone, and the process crash.
So Python waits for them. A command that was told to stop should not.
"""

import os
import sys
import threading
from contextlib import suppress


class WaitingThread(threading.Thread):
    """A thread that may wait in a library for long, and whose work nobody needs once it is left."""


def end_beside_waiting_threads(code: object) -> None:
    """End the process, without Python's own end, if such a thread is alive; else do nothing.

    Args:
        code: As ``SystemExit`` has it; a message of its is left to Python.
    """
    if not any(isinstance(thread, WaitingThread) for thread in threading.enumerate()):
        return
    if code is not None and not isinstance(code, int):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit((code or 0) & 0xFF)
