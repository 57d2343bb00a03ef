"""Make the pictures of README.md from real output: everything below `docs/images`.

    uv run python docs/draw_pictures.py [--attention FOLDER]

Runs the program itself on NASA's photograph of Eileen Collins (public domain; scikit-image carries
it): `photograph.jpg` is what `glamor predict --save` leaves, `explained.jpg` what `glamor explain`
draws, `terminal.svg` what the terminal says. `ablation.png` is drawn from the measured table in
`benchmarks/results/ablation.json`, where there is one. With `--attention`, the pictures that
`glamor attention --save FOLDER` left become `attention.jpg` and `hiding.png`.

`docs/draw_network.py` draws the network.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import skimage.data
from PIL import Image
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from glamor_cli.ablation.figure import save_ablation
from glamor_cli.ablation.table import RunResult, summarise
from glamor_cli.evaluation.attention.figures import GALLERY, HIDING
from glamor_cli.files.atomic import atomic_path, write_text

IMAGES = Path(__file__).parent / "images"
ABLATION = Path(__file__).parents[1] / "benchmarks" / "results" / "ablation.json"
COLUMNS = 88
SPINNER = re.compile(r"(\x1b\[[\d;]*m)*[\u2800-\u28ff]")
_LARGEST = 200_000
"""Bytes that a picture of the front door may have."""


def main() -> None:
    """Draw all of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attention", type=Path, help="what glamor attention --save left")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        draw_photograph(Path(name))
    if ABLATION.is_file():
        draw_ablation()
    if arguments.attention is not None:
        shrink(arguments.attention / GALLERY, IMAGES / "attention.jpg", width=1150)
        shrink(arguments.attention / HIDING, IMAGES / "hiding.png", width=1400)
    for picture in sorted(IMAGES.iterdir()):
        print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB")


def draw_photograph(folder: Path) -> None:
    """Run `predict` and `explain` on the photograph, and keep their pictures and words."""
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.coffee()).save(folder / "coffee.png")
    (folder / "damaged.jpg").write_bytes(b"this is no photograph")
    commands = (
        ("predict", "astronaut.png", "coffee.png", "damaged.jpg", "--save", "pictures"),
        ("explain", "astronaut.png"),
    )
    said = Text()
    for command in commands:
        said.append("$ ", "bold green")
        said.append(f"glamor {' '.join(command)}\n", "bold")
        said.append(run(folder, *command))
        said.append("\n")
    draw_terminal(IMAGES / "terminal.svg", said)
    shrink(folder / "pictures" / "astronaut-emotions.jpg", IMAGES / "photograph.jpg", width=900)
    shrink(folder / "astronaut-explained.png", IMAGES / "explained.jpg", width=1400)


def run(folder: Path, *command: str) -> Text:
    """Run the program as a terminal would and give what it said, in its colours."""
    settings = {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "glamor_cli", *command],
        cwd=folder,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,  # a damaged file is part of the picture, and of the exit code
    )
    # What draws over its own line leaves its end, and spinners rub themselves out.
    # (Decoded by hand, because text mode takes a carriage return for the end of a line.)
    lines = [line.rpartition("\r")[2] for line in done.stdout.decode("utf-8").split("\n")]
    lines = [re.sub(r"\x1b\[\d*[A-HJK]|\x1b\[\?\d+[hl]", "", line) for line in lines]
    shown = [line for line in lines if not SPINNER.match(line)]
    return Text.from_ansi("\n".join(shown).strip("\n") + "\n")


def draw_terminal(path: Path, said: Text) -> None:
    """Draw a terminal as an SVG that asks no server for its font."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(said, soft_wrap=False)
        drawn = console.export_svg(title="glamor", theme=MONOKAI, unique_id="glamor")
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    drawn = drawn.replace("Fira Code,", "").replace("Fira Code", "ui-monospace, Menlo, Consolas")
    write_text(path, drawn)


def draw_ablation() -> None:
    """Draw the measured ablation."""
    values = json.loads(ABLATION.read_text(encoding="utf-8"))
    runs = [RunResult.from_dict(run) for line in values["variants"] for run in line["runs"]]
    target = IMAGES / "ablation.png"
    save_ablation(target, summarise(runs), values["discs"])
    shrink(target, target, width=1400)


def shrink(source: Path, target: Path, *, width: int) -> None:
    """Bring a picture to at most a width, and to a size that a page can bear."""
    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    if picture.width > width:
        height = round(picture.height * width / picture.width)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    with atomic_path(target) as temporary:
        if target.suffix == ".png":
            few = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            few.save(temporary, optimize=True)
        else:
            picture.save(temporary, quality=86, optimize=True, progressive=True)
        size = temporary.stat().st_size
    if size > _LARGEST:
        print(f"{target.name} has {size / 1000:.0f} kB: more than a front door should")


if __name__ == "__main__":
    main()
