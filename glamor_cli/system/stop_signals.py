"""Which signals ask a command to stop."""

import signal

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""What comes, often more than once, when the terminal is closed; Windows has no such signal."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP is not None else []))
"""From Ctrl-C, from schedulers and service managers, and from a terminal that is closed."""
