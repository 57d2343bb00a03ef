"""Stretches of work that a Ctrl-C, SIGTERM or SIGHUP may only follow."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from glamor_cli.system.stop_signals import STOP_SIGNALS


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back until the block has ended.

    Outside of the main thread, which alone is interrupted, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: heard.append(number))
        for number in STOP_SIGNALS
        # An ignored one stays so, and Python cannot put back one that is not its own.
        if signal.getsignal(number) not in (None, signal.SIG_IGN)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])
