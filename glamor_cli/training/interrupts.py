"""Stopping politely: Ctrl-C, SIGTERM and SIGHUP ask a run to save first, as schedulers expect."""

import signal
import threading
from typing import Self

from glamor_cli.system.stop_signals import HANGUP, STOP_SIGNALS

CHECKPOINT_SECONDS = 300.0
"""Longest stretch of work that a power cut can cost, unless told otherwise."""


class StopRequest:
    """While entered, the first SIGINT, SIGTERM or SIGHUP only sets ``requested``.

    The second one acts as it would have without this, unless ``patient``: under torchrun both the
    terminal and torchrun pass a Ctrl-C on, and torchrun ends whoever takes too long. A SIGHUP never
    counts as the second one: if a terminal is closed, both the shell and the system send one.

    Outside of the main thread, where Python allows no signal handlers, it does nothing. It leaves
    alone signals that are ignored, and those that a program handles without Python.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.requested = False
        self.patient = patient
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                # An ignored one is meant to be, and Python cannot put back one that is not its own.
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def _request(self, number: int, _: object) -> None:
        self.requested = True
        if not self.patient and number != HANGUP:
            self._give_back(but=HANGUP)

    def _give_back(self, *, but: signal.Signals | None = None) -> None:
        for number in [number for number in self._before if number != but]:
            signal.signal(number, self._before.pop(number))  # type: ignore[arg-type]
