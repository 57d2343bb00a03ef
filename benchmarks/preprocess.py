"""Measure preprocessing: its stages apart in one thread, and the whole with worker processes.

The images are JPEGs of CAER-S's size, 712x400, each with a real face (of the photograph that
scikit-image carries) at a random place and size on a random background:

    uv run python benchmarks/preprocess.py --count 200 --workers 2

Writes ``benchmarks/results/preprocess-<hardware>.json``. Where other work shares the
machine, the CPU seconds tell more than the wall's.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image, ImageFilter
from recording import RESULTS, record

from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.faces import Detector
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import NO_FACE, Box, round_box, sample_context, sample_face, to_uint8

WIDTH, HEIGHT = 712, 400


def main() -> None:
    """Make the images, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="images")
    parser.add_argument("--workers", type=int, default=2, help="processes of the whole run")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "images"
        paths = make_images(source / "Happy", options.count)
        result = {
            "images": f"{options.count} JPEGs of {WIDTH}x{HEIGHT}",
            "stages": measure_stages(paths),
            "whole": measure_whole(source, Path(folder) / "store", options.workers),
        }
    record("preprocess", result, options.out)


def make_images(folder: Path, count: int) -> list[Path]:
    """Write the images."""
    folder.mkdir(parents=True)
    portrait = Image.fromarray(skimage.data.astronaut()[:300, 80:380])
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        noise = random.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        image = image.filter(ImageFilter.GaussianBlur(2))
        side = int(random.integers(120, 360))
        left = int(random.integers(0, WIDTH - side))
        top = int(random.integers(0, HEIGHT - side))
        image.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        paths.append(folder / f"{number:05d}.jpg")
        image.save(paths[-1], quality=90)
    return paths


def measure_stages(paths: list[Path]) -> dict[str, dict[str, float]]:
    """Milliseconds per image of every stage, in this thread."""
    detector = open_detector(threads=1)
    detector.detect(read_image(paths[0]))
    wall: dict[str, list[float]] = {"decode": [], "detect": [], "sample": []}
    cpu: dict[str, list[float]] = {"decode": [], "detect": [], "sample": []}

    def timed(stage: str, work: Callable[[], Any], images: int) -> Any:
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = work()
        wall[stage].append((time.perf_counter() - began) / images * 1e3)
        cpu[stage].append((time.process_time() - began_cpu) / images * 1e3)
        return answer

    for start in range(0, len(paths), 8):
        batch = paths[start : start + 8]
        images = timed("decode", lambda batch=batch: [read_image(p) for p in batch], len(batch))
        boxes = timed("detect", lambda images=images: find(detector, images), len(batch))
        timed(
            "sample",
            lambda images=images, boxes=boxes: [
                (to_uint8(sample_face(image, box)), to_uint8(sample_context(image, box)))
                for image, box in zip(images, boxes, strict=True)
            ],
            len(batch),
        )
    return {
        stage: {
            "p50_ms": round(statistics.median(wall[stage]), 2),
            "cpu_p50_ms": round(statistics.median(cpu[stage]), 2),
        }
        for stage in wall
    }


def find(detector: Detector, images: list[Any]) -> list[Box]:
    """Find the box of every image."""
    found = (detector.detect(image) for image in images)
    return [round_box(faces.boxes[0]) if len(faces) else NO_FACE for faces in found]


def measure_whole(source: Path, store: Path, workers: int) -> dict[str, float]:
    """The command's own work, starting the workers included."""
    before = _cpu_seconds()
    report = preprocess(
        PreprocessConfig(source, store, PairMaking(boxes=BoxSource.DETECT), workers=workers)
    )
    return {
        "workers": workers,
        "stored": report.stored,
        "no_face": report.no_face,
        "failed": len(report.failed),
        "seconds": round(report.seconds, 2),
        "images_per_second": round(report.images_per_second, 2),
        "cpu_ms_per_image": round((_cpu_seconds() - before) / report.read * 1e3, 2),
    }


def _cpu_seconds() -> float:
    """CPU time of this process and of its finished children."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
