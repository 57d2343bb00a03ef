"""Measure how the cost of stores grows with their records: time and memory from 1 k to 1 M.

    uv run python benchmarks/store_scale.py

Each step is a process of its own, whose peak memory is its own: ``nothing`` only imports; ``list``
lists a folder of that many files and sums it up, as every run does first; ``index`` preprocesses a
manifest of that many tiny images from nothing, faces left out, so that no arrays are written;
``resume`` goes on with a store of which all but ten records are done, from the first instruction to
the finished store; ``open`` opens it, reads its index and 64 random pairs. The arrays of the last
two are sparse files of their true size (93 GB for 1 M), for which no disk is needed.

Writes ``benchmarks/results/store-scale.json``. Where other work shares the machine, the CPU seconds
tell more than the wall's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from recording import RESULTS, write_result

from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.progress import PreprocessProgress
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.preprocess.source_summary import summarise
from glamor_cli.data.store.format import CONTEXTS, FACES, HEADER_BYTES
from glamor_cli.data.store.index import HEADER, IndexRow
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.vision.pairs import Box
from glamor_cli.vision.status import Status

COUNTS = (1_000, 10_000, 100_000, 1_000_000)
IMAGES = 1_000
LEFT = 10
BOX = Box(1, 1, 7, 7)


def main() -> None:
    """Run all steps for all counts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="records")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        step, count, folder = options.child
        print(json.dumps(measure(STEPS[step], Path(folder), int(count))))
        return
    rows = []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), count)
            for step in STEPS:
                command = [sys.executable, __file__, "--child", step, str(count), folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append({"records": count, "step": step, **json.loads(done.stdout)})
                print(rows[-1], flush=True)
        write_result(options.out / "store-scale.json", {"rows": rows})


def measure(step: Callable[[Path, int], None], folder: Path, count: int) -> dict[str, float]:
    """Run a step: its seconds by the wall and of CPU, and this process's peak memory."""
    wall, cpu = time.perf_counter(), time.process_time()
    step(folder, count)
    return {
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "peak_mb": peak_mb(),
    }


def peak_mb() -> int:
    """Read this process's peak memory; ``getrusage`` would give the parent's if that is more."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def prepare(folder: Path, count: int) -> None:
    """Make the files that all steps share, and a store all but done."""
    many = folder / "many" / "Happy"
    many.mkdir(parents=True)
    for number in range(count):
        (many / f"photograph_{number:08d}.jpg").touch()
    noise = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(min(count, IMAGES)):
        pixels = noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number:04d}.png")
    for name, box in (("boxes", BOX), ("faceless", (0, 0, 0, 0))):
        with (folder / f"{name}.csv").open("w") as handle:
            handle.write("path,label,x1,y1,x2,y2\n")
            for number in range(count):
                handle.write(f"{image_name(number)},Happy,{','.join(map(str, box))}\n")
    begin_store(folder, count)


def image_name(number: int) -> str:
    """Name the image of a record."""
    return f"images/{number % IMAGES:04d}.png"


def begin_store(folder: Path, count: int) -> None:
    """Leave a store as a run leaves it that was killed ten records before its end."""

    def stop(_: PreprocessProgress) -> None:
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        preprocess(config(folder, "boxes", skip_no_face=False), on_progress=stop)
    split = folder / "boxes" / "all"
    done = count - LEFT
    with (split / "index.csv").open("wb") as handle:
        handle.write(HEADER)
        for number in range(done):
            row = IndexRow(number, image_name(number), "Happy", Status.OK, BOX, None, 0x1234ABCD)
            handle.write(row.to_line())
    for array in (FACES, CONTEXTS):
        with (split / array.file).open("r+b") as handle:
            handle.truncate(HEADER_BYTES + done * array.row_bytes)


def config(folder: Path, name: str, *, skip_no_face: bool) -> PreprocessConfig:
    """Configure a run in this process over one of the manifests."""
    making = PairMaking(boxes=BoxSource.MANIFEST, skip_no_face=skip_no_face)
    return PreprocessConfig(folder / f"{name}.csv", folder / name, making, workers=1)


def do_nothing(_: Path, __: int) -> None:
    """Show what the imports alone take."""


def list_folder(folder: Path, count: int) -> None:
    """List a folder with all its files."""
    source = summarise(open_data_set(folder / "many"), box_files=False)
    check(source.splits["all"].images, count)


def index(folder: Path, count: int) -> None:
    """Preprocess images of which no rows are kept."""
    report = preprocess(config(folder, "faceless", skip_no_face=True))
    check(report.no_face, count)


def resume(folder: Path, count: int) -> None:
    """Go on with the store that is all but done."""
    report = preprocess(config(folder, "boxes", skip_no_face=False))
    check(report.resumed, count - LEFT)
    check(report.stored, count)


def open_and_read(folder: Path, count: int) -> None:
    """Open the finished store, read its index and some pairs."""
    split = PairStore.open(folder / "boxes").split("all")
    rows = np.random.default_rng(0).integers(0, count, 64)
    faces, _ = split.pairs(rows)
    check(len(faces), 64)
    check(len(split), count)


def check(found: int, expected: int) -> None:
    """Make sure that a step did what it is measured for."""
    if found != expected:
        raise SystemExit(f"{found} instead of {expected}")


STEPS: dict[str, Callable[[Path, int], None]] = {
    "nothing": do_nothing,
    "list": list_folder,
    "index": index,
    "resume": resume,
    "open": open_and_read,
}

if __name__ == "__main__":
    main()
