"""Which signals ask a command to stop."""

import signal

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What comes, often more than once, when the terminal is closed; Windows has no such signal."""

TERMINAL_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGHUP", "SIGBREAK")
    if name in signal.Signals.__members__
)
"""What a terminal sends to everything that runs in it: on Ctrl-C, when it is closed, and, on
Windows alone, on Ctrl-Break, which programs send there too."""

STOP_SIGNALS = (*TERMINAL_SIGNALS, signal.SIGTERM)
"""Those, and what schedulers and service managers send."""
