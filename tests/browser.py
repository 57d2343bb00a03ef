"""Pages in a real browser: headless Chromium, where there is one."""

import html
import json
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


_FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark">
<p>0</p><iframe width="{width}" height="800" src="{page}"></iframe>
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


_CONTRASTS = """
const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) =>
  0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const lay = (below, colour, opacity) => {
  const [r, g, b, alpha = 1] = colour.match(/[\\d.]+/g).map(Number), a = alpha * opacity;
  return [r, g, b].map((c, i) => a * c + (1 - a) * below[i]);
};
const opacity = (one) => one ? getComputedStyle(one).opacity * opacity(one.parentElement) : 1;
const ground = (one) => one ? lay(ground(one.parentElement),
  getComputedStyle(one).backgroundColor, opacity(one)) : [255, 255, 255];
page.querySelectorAll("details").forEach((one) => one.open = true);
const texts = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT), found = [];
while (texts.nextNode()) {
  const text = texts.currentNode.data.trim(), one = texts.currentNode.parentElement;
  if (!text || !one.getClientRects().length) continue;
  const behind = ground(one), ink = lay(behind, getComputedStyle(one).color, opacity(one));
  const [low, high] = [light(behind), light(ink)].sort((a, b) => a - b);
  found.push([text, (high + 0.05) / (low + 0.05)]);
}
said.textContent = JSON.stringify(found);
"""


def measure_contrasts(page: Path, folder: Path, *, dark: bool) -> list[tuple[str, float]]:
    """Give every text that a page shows, with its contrast by WCAG's formula, from 1 to 21."""
    return [(text, ratio) for text, ratio in json.loads(ask(page, folder, _CONTRASTS, dark=dark))]


_BARRIERS = """
const barriers = [], root = page.documentElement;
page.querySelectorAll("details").forEach((one) => one.open = true);
if (root.scrollWidth > root.clientWidth) barriers.push("the page scrolls sideways");
if (page.querySelectorAll("main").length !== 1) barriers.push("no main part");
for (const one of page.querySelectorAll("svg"))
  if (one.getBoundingClientRect().width < 0.99 * one.viewBox.baseVal.width)
    barriers.push(`letters below 10 pixels: ${one.getAttribute("aria-label")}`);
for (const one of page.querySelectorAll("body *")) {
  if (one.scrollWidth <= one.clientWidth || getComputedStyle(one).overflowX !== "auto") continue;
  if (one.tabIndex || one.getAttribute("role") !== "region" || !one.getAttribute("aria-label"))
    barriers.push(`scrolls, but not by the keyboard: ${one.textContent.trim().slice(0, 40)}`);
}
said.textContent = JSON.stringify(barriers);
"""


def find_barriers(page: Path, folder: Path) -> list[str]:
    """Name what keeps people with a narrow screen, 320 pixels, from reading a page."""
    barriers: list[str] = json.loads(ask(page, folder, _BARRIERS, width=320))
    return barriers


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
