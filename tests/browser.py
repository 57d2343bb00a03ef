"""Pages in a real browser: headless Chromium, where there is one."""

import html
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

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


_FRAME = """<!DOCTYPE html><p>0</p><iframe width="{width}" height="800" src="{page}"></iframe>
<script>
const said = document.querySelector("p"), frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument;
  {script}
}};
</script>"""


def ask(page: Path, folder: Path, script: str, *arguments: str, **options: Any) -> str:
    """Open a page in a frame, from which its policy does not keep a script of the test's own.

    Args:
        page: What to open.
        folder: Where the browser may leave files.
        script: Run each time the page has been loaded, with ``page``, its document, and ``said``,
            an element of "0" whose text is given back.
        arguments: As for ``browse``.
        options: ``width``, in pixels; others as for ``browse``.
    """
    frame = folder / "frame.html"
    values = {
        "page": page.resolve().as_uri(),
        "script": script,
        "width": options.pop("width", 1000),
    }
    frame.write_text(_FRAME.format(**values), encoding="utf-8")
    flags = ("--allow-file-access-from-files", "--dump-dom", *arguments)
    document, complaints = browse(frame, folder / "profile", *flags, **options)
    assert complaints == []
    found = re.search(r"<p>(.*?)</p>", document, re.DOTALL)
    assert found, document
    return html.unescape(found[1])


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
