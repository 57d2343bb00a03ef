"""Measure how long a photograph takes from its file to its answers, against the authors' way.

Theirs is dlib's CNN detector on the doubled image, then the network run eagerly by torch, image by
image; ours is ``glamor predict``'s own pipeline, warm. Both read the same 712x400 JPEGs, each with
a real face, in interleaved rounds:

    uv run --extra dlib python benchmarks/pipeline.py

Writes ``benchmarks/results/pipeline-<hardware>.json``: milliseconds per photograph of both and
their ratio, the milliseconds of a single photograph, both also with ``--provider openvino`` where
it runs the detector, and those of sampling a pair from a decoded photograph of 12 megapixels.
``--ours-only`` leaves the authors' way out, which takes seconds an image.
"""

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from preprocess import HEIGHT, WIDTH, make_images
from recording import RESULTS, record, summary
from turns import in_turn

from glamor_cli.predict.predictor import PredictConfig, Predictor, open_predictor
from glamor_cli.vision.centerface import gains_from_openvino
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.images import read_image
from glamor_cli.vision.options import DetectorKind
from glamor_cli.vision.pairs import make_pair, round_box
from glamor_cli.weights.network_file import load_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

AUTHORS, OURS, SINGLE = "authors", "glamor", "glamor_single"
OPENVINO = "_openvino"
"""Stands behind ours where OpenVINO runs both networks, as with ``--provider openvino``."""


def main() -> None:
    """Measure in rounds, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=32, help="photographs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ours-only", action="store_true", help="without the authors' way")
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS)
    parser.add_argument("--threads", type=int, help="CPU threads of our way; default: all cores")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_images(Path(folder) / "images", options.count)
        ways = our_ways(paths, options.weights, options.threads)
        if not options.ours_only:
            ways[AUTHORS] = (authors_way(paths, options.weights), 1)
        wall, cpu = measure(ways, options.rounds)
    figures: dict[str, object] = {
        "images": f"{options.count} JPEGs of {WIDTH}x{HEIGHT}, a face in each",
        "rounds": options.rounds,
        "threads": options.threads,
        "ms_per_photograph": {name: summary(times) for name, times in wall.items()},
        "cpu_ms_per_photograph": {name: summary(times) for name, times in cpu.items()},
    }
    if AUTHORS in ways:
        ratios = [theirs / ours for theirs, ours in zip(wall[AUTHORS], wall[OURS], strict=True)]
        figures["times_faster_per_round"] = summary(ratios, 1)
    wall_times, cpu_times = sample_times()
    figures["sample_12_megapixels_ms"] = summary(wall_times, 3)
    figures["sample_12_megapixels_cpu_ms"] = summary(cpu_times, 3)
    record("pipeline", figures, options.out)


def our_ways(
    paths: list[Path], weights: str, threads: int | None
) -> dict[str, tuple[Callable[[], object], int]]:
    """The whole folder, and one photograph alone; each with the photographs that it answers."""
    providers = {"": None}
    # Elsewhere it runs the smaller of the two networks alone, which changes little.
    if gains_from_openvino():
        providers[OPENVINO] = "openvino"
    ways: dict[str, tuple[Callable[[], object], int]] = {}
    for name, provider in providers.items():
        config = PredictConfig(weights=weights, device="cpu", threads=threads, provider=provider)
        predictor = open_predictor(config)
        answers = list(predictor.predict(paths))
        if not all(answer.faces for answer in answers):
            raise SystemExit("a photograph's face was not found: its figures would not compare")
        ways[f"{OURS}{name}"] = (partial(answer_all, predictor, paths), len(paths))
        ways[f"{SINGLE}{name}"] = (partial(answer_next, predictor, itertools.cycle(paths)), 1)
    return ways


def answer_all(predictor: Predictor, paths: list[Path]) -> object:
    """Answer the whole folder."""
    return list(predictor.predict(paths))


def answer_next(predictor: Predictor, turn: Iterator[Path]) -> object:
    """Answer one photograph alone, another each time."""
    return list(predictor.predict([next(turn)]))


def authors_way(paths: list[Path], weights: str) -> Callable[[], object]:
    """Their detector and the network in eager mode on one photograph after another."""
    detector = open_detector(DetectorKind.DLIB)
    network, _ = load_network(find_weights(weights))
    turn = itertools.cycle(paths)

    @torch.inference_mode()
    def run() -> object:
        image = read_image(next(turn))
        faces = detector.detect(image)
        pairs = [make_pair(image, round_box(box)) for box in faces.boxes]
        return [
            network(torch.from_numpy(pair.face[None]), torch.from_numpy(pair.context[None]))
            for pair in pairs
        ]

    return run


def measure(
    ways: dict[str, tuple[Callable[[], object], int]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Milliseconds of wall and of CPU per photograph, of every round."""
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name in in_turn(ways, number):
            run, count = ways[name]
            began, began_cpu = time.perf_counter(), _cpu_seconds()
            run()
            if number:  # the first round warms up
                wall[name].append((time.perf_counter() - began) / count * 1e3)
                cpu[name].append((_cpu_seconds() - began_cpu) / count * 1e3)
    return wall, cpu


def sample_times() -> tuple[list[float], list[float]]:
    """Make a pair from a decoded photograph of 4000x3000: milliseconds of wall and of CPU."""
    image = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((4000, 3000)))
    box = round_box(open_detector(threads=1).detect(image).boxes[0])
    wall, cpu = [], []
    for _ in range(200):
        began, began_cpu = time.perf_counter(), time.thread_time()
        make_pair(image, box)
        wall.append((time.perf_counter() - began) * 1e3)
        cpu.append((time.thread_time() - began_cpu) * 1e3)
    return wall, cpu


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
