"""Pages in a real browser: headless Chromium, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PROGRAM = next((found for name in _NAMES if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium or Chrome is on the PATH")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
)


def browse(page: Path, profile: Path, *arguments: str, dark: bool = False) -> tuple[str, list[str]]:
    """Open a page; gives what the browser printed, and what the page complained of."""
    scheme = 0 if dark else 1
    done = subprocess.run(
        [
            str(PROGRAM),
            *_FLAGS,
            f"--user-data-dir={profile}",
            f"--blink-settings=preferredColorScheme={scheme}",
            *arguments,
            page.resolve().as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
