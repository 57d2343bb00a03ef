"""Commands on a terminal of their own, whose standard output goes to a program."""

import os
import re
import subprocess
import sys
from contextlib import suppress


def run_on_terminal(
    *words: object, columns: int, kind: str = "xterm", escapes: bool = False
) -> tuple[int, bytes, str]:
    """Run ``glamor``; give its exit code, what the program got, and what people saw.

    What they saw is without the escapes that colour it and move about, if not asked for.
    """
    unset = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "glamor_cli", *map(str, words)],
        env=environment | {"TERM": kind, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # as Linux says that nobody writes there any more
            while piece := os.read(ours, 65536):
                shown += piece
        output = process.stdout.read()
        code = process.wait(120)
    os.close(ours)
    if not escapes:
        shown = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown)
    return code, output, shown.decode()
