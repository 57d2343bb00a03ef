"""Every command that the README shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage.data import astronaut

README = Path(__file__).resolve().parents[1] / "README.md"
# The demo takes minutes, and pytest would call itself.
LEFT_OUT = ("demo", "pytest")


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.split() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line[:2] == ["uv", "run"]]


def test_the_two_commands_come_first() -> None:
    assert commands()[:2] == [["uv", "run", "glamor", "demo"], ["uv", "run", "pytest"]]


@pytest.mark.slow
def test_the_other_commands_run(tmp_path: Path) -> None:
    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg", quality=95)
    shown = [line[2:] for line in commands() if line[2] not in LEFT_OUT]
    shown = [line for line in shown if line[1] not in LEFT_OUT]
    assert len(shown) >= 9
    for line in shown:
        assert line[0] == "glamor"
        done = subprocess.run(
            [sys.executable, "-m", "glamor_cli", *line[1:]],
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{' '.join(line)}\n{done.stderr}"
    for left in ("pictures", "explained.png", "report/confusion.png", "network.onnx"):
        assert (tmp_path / left).exists(), left


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    folders = (README.parent / name for name in ("", "docs", "weights", "benchmarks"))
    documents = [document for folder in folders for document in folder.glob("*.md")]
    assert len(documents) >= 12
    for document in documents:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
            found = target.startswith("https://") or (document.parent / target).exists()
            assert found, f"{document.name}: {target}"
