"""Kill preprocessing at random moments, go on, and compare the stores byte for byte.

Small images with box files are preprocessed in a process that SIGKILL ends at a random moment. The
same call is made again, in a process of its own, until the store is finished, which is then
compared with that of an undisturbed run; then a new store is begun, until there were enough kills.
The processes are forks of this one, so that the kills hit work and not the loading of modules:

    uv run python benchmarks/kills.py --kills 100

Writes ``benchmarks/results/kills.json``. It exits with 1 if a store differs.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from recording import RESULTS, write_result

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.format import CONTEXTS, HEADER_BYTES
from glamor_cli.labels import EMOTIONS


@dataclass
class Tally:
    """What came of the kills.

    Attributes:
        kills: How many processes were killed.
        rows_at_kills: How many rows the arrays held at each.
        stores: Finished stores that had been killed at least once.
        equal: Of these, those equal to the undisturbed one.
        kills_of_a_store: For each finished store.
    """

    kills: int = 0
    stores: int = 0
    equal: int = 0
    kills_of_a_store: list[int] = field(default_factory=list)
    rows_at_kills: list[int] = field(default_factory=list)


def main() -> int:
    """Make the images, kill, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--images", type=int, default=420, help="images in the data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_images(folder / "set", options.images)
        began = time.monotonic()
        if os.waitstatus_to_exitcode(os.waitpid(start(folder, folder / "whole"), 0)[1]) != 0:
            raise SystemExit("the undisturbed run failed")
        seconds = time.monotonic() - began
        expected = tree(folder / "whole")
        tally = Tally()
        while tally.kills < options.kills:
            store = folder / "store"
            kills, seconds = torture(folder, store, seconds, chance, tally)
            if kills:
                tally.kills_of_a_store.append(kills)
                tally.stores += 1
                tally.equal += tree(store) == expected
            print(f"{tally.kills} kills, {tally.equal} of {tally.stores} stores equal", flush=True)
            shutil.rmtree(store)
    write_result(options.out / "kills.json", {"images": options.images, **asdict(tally)})
    return 0 if tally.equal == tally.stores else 1


def make_images(root: Path, count: int) -> None:
    """Write small images of noise in two splits, each with its box file."""
    noise = np.random.default_rng(0)
    for number in range(count):
        place = Path("test" if number % 4 == 0 else "train") / EMOTIONS[number % len(EMOTIONS)]
        image = root / "images" / place / f"{number:05d}.png"
        box = root / "crop" / place / f"{number:05d}.txt"
        image.parent.mkdir(parents=True, exist_ok=True)
        box.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(image, compress_level=1)
        box.write_text(f"{number % 7},5,{30 + number % 9},33\n")


def start(folder: Path, store: Path) -> int:
    """Start preprocessing as a process of its own; give its number."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            making = PairMaking(boxes=BoxSource.CROP_FILES)
            preprocess(PreprocessConfig(folder / "set", store, making, workers=1))
            code = 0
        finally:
            os._exit(code)
    return process


def torture(
    folder: Path, store: Path, seconds: float, chance: random.Random, tally: Tally
) -> tuple[int, float]:
    """Kill and go on until a store is finished.

    Args:
        folder: Where the data set is.
        store: The store.
        seconds: What a whole run takes.
        chance: Chooses the moments.
        tally: Counts.

    Returns:
        How many of its processes were killed, and what a whole run takes, if one was seen to.
    """
    kills = 0
    while True:
        process = start(folder, store)
        began = time.monotonic()
        # Not over the whole time: a run that goes on has less to do.
        moment = chance.uniform(0, 0.6 * seconds)
        ended = 0
        while not ended and time.monotonic() - began < moment:
            time.sleep(0.005)
            ended, status = os.waitpid(process, os.WNOHANG)
        if not ended:
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return kills, seconds if kills else time.monotonic() - began
        if code != -signal.SIGKILL:
            raise SystemExit(f"a run ended with {code}")
        kills += 1
        tally.kills += 1
        tally.rows_at_kills.append(stored_rows(store))


def stored_rows(store: Path) -> int:
    """Count the rows of the last array that are there, whole."""
    sizes = (path.stat().st_size for path in store.glob("*/contexts.npy"))
    return sum(max(0, size - HEADER_BYTES) // CONTEXTS.row_bytes for size in sizes)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    sys.exit(main())
