"""Stop every command at random moments under load, and look at what it leaves.

Each command runs whole once, which must end well and tells how long it takes beside as many others
as later. Then it is started again and again, several at once, and told to stop at a random moment
of that time: every other time as by Ctrl-C, else by SIGTERM or SIGHUP. A stop is clean when the
command

- ends in time, with exit code 130, or with 0 where it had already done its work (or by the signal
  itself, where Python had hardly begun);
- prints no traceback and nothing of Python's own;
- leaves no temporary file, and no file that cannot be read to its end.

Commands that go on after a stop (``preprocess``, ``train``) are asked to, once each, by the same
words; what they must then be equal to is looked at by ``kills.py`` and ``training_kills.py``:

    uv run python benchmarks/interruptions.py --stops 40

Writes ``benchmarks/results/interruptions-<hardware>.json``. It exits with 1 if a stop was not
clean.
"""

import argparse
import csv
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
import numpy as np
import onnx
import skimage.data
from memory import make_video
from PIL import Image
from recording import RESULTS, record
from safetensors import safe_open

from glamor_cli.errors import INTERRUPTED
from glamor_cli.labels import EMOTIONS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from cameras import as_jpeg, http_camera

PATIENCE = 60.0
"""Seconds after which a stopped command counts as hanging."""
LONG = 120.0
"""Seconds beyond which a command is stopped a quarter as often."""
PYTHONS_START = 1.0
"""Seconds until Python has reached the package, beside many others; before, a stop is Python's own
to tell of."""
PYTHONS_OWN = ("Traceback", "Exception ignored", "Fatal Python error", "KeyboardInterrupt")
"""What Python itself prints where something was not expected."""
FERPLUS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"),
    *("contempt", "unknown", "NF"),
)
"""What FER+'s votes are given for."""
PARTIAL = ".partial"
"""In the names of files that are not finished."""


@dataclass
class Tally:
    """What came of the stops of one command.

    Attributes:
        seconds: What the whole command took, beside others.
        stops: How many runs were told to stop.
        done: Of these, those that had done their work and ended with 0.
        unclean: What was wrong, one line for each stop that was not clean.
        slowest_end: Most seconds between the signal and the end.
    """

    seconds: float = 0.0
    stops: int = 0
    done: int = 0
    unclean: list[str] = field(default_factory=list)
    slowest_end: float = 0.0


SCENES = "--train 400 --validation 50 --test 50"
"""How many scenes all that need some get."""

COMMANDS = {
    "help": "--help",
    "doctor": "doctor --json OUT/doctor.json",
    "predict": "predict IN/photographs --save OUT/saved --output OUT/rows.csv",
    "predict, torch": "predict IN/photographs --output OUT/rows.json "
    "--weights IN/network.safetensors",
    "predict, video": "predict IN/clip.mp4 --save OUT/saved --output OUT/rows.jsonl",
    "watch": "watch CAMERA/video --for 6s --picture OUT/now.jpg --format jsonl",
    "explain": "explain IN/photographs/0.jpg --output OUT/why.png",
    "scenes": f"scenes OUT/scenes {SCENES}",
    "fer2013": "fer2013 IN/fer2013 OUT/images",
    "preprocess": "preprocess IN/scenes OUT/store",
    "store verify": "store verify IN/store",
    "store merge": "store merge IN/store IN/other-store --out OUT/merged",
    "train": "train IN/store --run OUT/run --recipe scenes --epochs 2",
    "evaluate": "evaluate IN/store --json OUT/figures.json --report OUT/report",
    "compare": "compare IN/store glamor-original IN/network.safetensors "
    "--json OUT/figures.json --report OUT/report",
    "attention": "attention IN/store --pairs 8 --json OUT/figures.json --save OUT/pictures",
    "ablate": "ablate IN/store --run OUT/runs --recipe scenes --epochs 1 --seeds 1 "
    "--variant face-only --variant full --json OUT/table.json",
    "export": "export --precision int8 --calibrate IN/store --output OUT/network.onnx",
    "bench": "bench --what network,detector --batch 1 --backends eager,ort --seconds 0.5 "
    "--json OUT/bench.json --csv OUT/bench.csv --plot OUT/bench.png",
    "demo": "demo --output OUT/demo",
}
"""Every command that needs no GPU and no file of others."""
CAMERA = "camera"
"""The file among the inputs that holds the camera's address."""

RESUMED = {
    "preprocess": Path("store"),
    "train": Path("run"),
}
"""Commands whose work goes on after a stop, and where it lies."""


def main() -> int:
    """Make the inputs, stop every command, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stops", type=int, default=40, help="of each command")
    parser.add_argument("--together", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    # A shell's background job ignores Ctrl-C, nohup's SIGHUP, and commands would, as they should.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    chance = random.Random(options.seed)
    tallies = {name: Tally() for name in options.commands}
    pictures = [as_jpeg(turned) for turned in astronauts()]
    with (
        http_camera(lambda: itertools.cycle(pictures)) as (camera, _),
        tempfile.TemporaryDirectory() as temporary,
        ThreadPoolExecutor(options.together) as threads,
    ):
        inputs = Path(temporary)
        make_inputs(inputs)
        (inputs / CAMERA).write_text(camera.removesuffix("/video"))
        names = list(tallies)
        for name, seconds in zip(
            names, threads.map(lambda name: run_whole(name, inputs), names), strict=True
        ):
            tallies[name].seconds = round(seconds, 2)
        work = [
            name
            for name in names
            for _ in range(options.stops // (4 if tallies[name].seconds > LONG else 1))
        ]
        chance.shuffle(work)
        # Not over the whole time: beside fewer others a command is faster.
        moments = [chance.uniform(0, 0.8 * tallies[name].seconds) for name in work]
        numbers = [
            signal.SIGINT
            if chance.random() < 0.5
            else chance.choice([signal.SIGTERM, signal.SIGHUP])
            for _ in work
        ]
        for name, seconds, wrong, done in threads.map(
            lambda one: stop(inputs, *one), zip(work, moments, numbers, strict=True)
        ):
            add(tallies[name], seconds, wrong, done=done)
            if wrong:
                print(f"{name}: {wrong}", flush=True)
    figures = {name: asdict(tally) for name, tally in tallies.items()}
    record("interruptions", {"together": options.together, "commands": figures}, options.out)
    return 1 if any(tally.unclean for tally in tallies.values()) else 0


def add(tally: Tally, seconds: float, wrong: str, *, done: bool) -> None:
    """Count one stop."""
    tally.stops += 1
    tally.done += done
    tally.slowest_end = max(tally.slowest_end, round(seconds, 2))
    if wrong:
        # The rest names folders of this machine.
        tally.unclean.append(wrong.partition("\n")[0])


def make_inputs(folder: Path) -> None:
    """Make what the commands read: photographs, a video, scenes, a store and a network."""
    photographs = folder / "photographs"
    photographs.mkdir()
    for number, turned in enumerate(astronauts()):
        turned.save(photographs / f"{number}.jpg")
    make_video(folder / "clip.mp4", 300)
    write_arrays(folder / "fer2013")
    for seed, beginning in enumerate(("", "other-")):
        glamor(f"scenes OUT/{beginning}scenes {SCENES} --seed {seed}", folder)
        glamor(f"preprocess IN/{beginning}scenes OUT/{beginning}store", folder)
    glamor("train IN/store --run OUT/first-run --recipe scenes --epochs 1", folder)
    (folder / "first-run" / "best.safetensors").rename(folder / "network.safetensors")


def astronauts() -> list[Image.Image]:
    """Turn one portrait to either side."""
    astronaut = Image.fromarray(skimage.data.astronaut())
    return [astronaut.rotate(number - 12) for number in range(24)]


def write_arrays(folder: Path) -> None:
    """Write arrays of noise in the form of FER2013's."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    count = 1500
    votes = np.zeros((count, len(FERPLUS)), np.uint8)
    votes[:, :3] = 5, 3, 2
    for split, other in (("train", "evaluation"), ("validation", "train")):
        arrays = {
            "images": noise.integers(0, 256, (count, 48, 48), dtype=np.uint8),
            "labels": noise.integers(0, len(EMOTIONS), count, dtype=np.uint8),
            "names": np.array([f"{split}/{number}.jpg" for number in range(count)]),
            "classes": np.array(EMOTIONS),
            "ferplus_classes": np.array(FERPLUS),
            "ferplus_votes": votes,
            "lossless": np.ones(count, np.bool_),
            f"duplicate_of_{other}": np.zeros(count, np.bool_),
        }
        np.savez(folder / f"{split}.npz", **arrays)


def glamor(line: str, inputs: Path, output: Path | None = None) -> None:
    """Run a command that must end well."""
    words = command(line, inputs, output or inputs)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{line} ended with {done.returncode}:\n{done.stderr}")


def command(line: str, inputs: Path, output: Path) -> list[str]:
    """Give the words that start a command whose folders and camera are called IN, OUT, CAMERA."""
    places = {"IN": str(inputs), "OUT": str(output)}
    if (inputs / CAMERA).exists():
        places["CAMERA"] = (inputs / CAMERA).read_text()
    words = [
        re.sub("^(IN|OUT|CAMERA)(?=/)", lambda found: places[found[0]], word)
        for word in line.split()
    ]
    return [sys.executable, "-X", "faulthandler", "-m", "glamor_cli", *words]


def run_whole(name: str, inputs: Path) -> float:
    """Run a command to its end; give the seconds."""
    with tempfile.TemporaryDirectory(dir=inputs) as output:
        began = time.monotonic()
        glamor(COMMANDS[name], inputs, Path(output))
        seconds = time.monotonic() - began
        if wrong := look_at(Path(output)):
            raise SystemExit(f"{name}, undisturbed: {wrong}")
        return seconds


def stop(
    inputs: Path, name: str, moment: float, number: signal.Signals
) -> tuple[str, float, str, bool]:
    """Start a command and stop it.

    Args:
        inputs: The folder of the inputs.
        name: The command.
        moment: Seconds after its start.
        number: The signal.

    Returns:
        The command, the seconds it took to end, what was wrong, if anything, and whether it had
        done its work.
    """
    with tempfile.TemporaryDirectory(dir=inputs) as output, tempfile.TemporaryFile() as errors:
        words = command(COMMANDS[name], inputs, Path(output))
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        # One that has ended hears nothing.
        process.send_signal(number)
        began = time.monotonic()
        wrong = ""
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            wrong = "it did not end"
            # Tells where its threads are.
            process.send_signal(signal.SIGABRT)
            process.wait()
        seconds = time.monotonic() - began
        errors.seek(0)
        said = errors.read().decode()
        early = moment < PYTHONS_START and (
            process.returncode == -number or ("Traceback" in said and "glamor_cli" not in said)
        )
        if wrong:
            wrong += f"\n{said[-3000:]}"
        elif not early:
            wrong = judge(process.returncode, said)
        wrong = wrong or look_at(Path(output), besides=RESUMED.get(name))
        if not wrong and name in RESUMED and process.returncode:
            wrong = go_on(words, name, Path(output))
        return name, seconds, wrong and at(moment, number, wrong), process.returncode == 0


def at(moment: float, number: signal.Signals, wrong: str) -> str:
    """Say when and how it was stopped, too."""
    return f"{number.name} after {moment:.2f} s: {wrong}"


def judge(code: int, said: str) -> str:
    """Say what is wrong with how a command ended; nothing if it is as it should be."""
    for words in PYTHONS_OWN:
        if words in said:
            return f"exit code {code}, and it says {words}\n{said[-3000:]}"
    return "" if code in (0, INTERRUPTED) else f"exit code {code}\n{said[-600:]}"


def go_on(words: list[str], name: str, output: Path) -> str:
    """Ask a stopped command to go on; say what is wrong then."""
    there = name == "train" and (output / RESUMED[name]).exists()
    done = subprocess.run(
        [*words, *(["--resume"] if there else [])], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return f"did not go on: exit code {done.returncode}\n{done.stderr[-600:]}"
    return look_at(output)


def look_at(folder: Path, besides: Path | None = None) -> str:
    """Say which file below a folder is temporary or cannot be read to its end, if one is.

    Args:
        folder: The outputs.
        besides: A folder in it whose files are still being worked on.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or (besides is not None and name.is_relative_to(besides)):
            continue
        if PARTIAL in path.name:
            return f"{name} is left, of {path.stat().st_size} bytes"
        try:
            read(path)
        except Exception as error:
            return f"{name} cannot be read: {type(error).__name__}\n{error}"
    return ""


def read(path: Path) -> None:
    """Read a file to its end, by its suffix."""
    match path.suffix:
        case ".json":
            json.loads(path.read_text())
        case ".jsonl":
            if path.read_text()[-1:] not in ("", "\n"):
                raise ValueError("it ends within a row")
            [json.loads(line) for line in path.read_text().splitlines()]
        case ".csv":
            lengths = {len(row) for row in csv.reader(path.read_text().splitlines())}
            if len(lengths) > 1 or path.read_text()[-1:] not in ("", "\n"):
                raise ValueError("it ends within a row")
        case ".html":
            if not path.read_text().rstrip().endswith("</html>"):
                raise ValueError("it has no end")
        case ".png" | ".jpg":
            with Image.open(path) as image:
                image.load()
        case ".mp4":
            with av.open(str(path)) as container:
                if sum(1 for _ in container.decode(video=0)) == 0:
                    raise ValueError("it has no picture")
        case ".onnx":
            onnx.checker.check_model(str(path))
        case ".safetensors":
            with safe_open(str(path), "np") as tensors:
                [tensors.get_tensor(key) for key in tensors.keys()]  # noqa: SIM118
        case ".npy":
            np.load(path, allow_pickle=False)


if __name__ == "__main__":
    sys.exit(main())
