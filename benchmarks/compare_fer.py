"""Compare weights with the package ``fer`` on FER2013's validation images, in the same run.

    uv run python benchmarks/compare_fer.py VALIDATION.npz [--weights NAME ...]

VALIDATION.npz holds ``images`` uint8 [N, 48, 48], ``labels``, ``classes``, ``lossless`` and
``duplicate_of_train``; judged are the lossless images that are no copies of training images. The
package runs in a throw-away environment that uv makes (several gigabytes, TensorFlow among them);
``--fer-python`` takes an environment that is there. Writes
``benchmarks/results/compare-fer-<hardware>.json``: accuracy, macro-F1 and parameters, and the
milliseconds from a face's pixels to its answer, one at a time, in interleaved rounds, at one and
two threads.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recording import RESULTS, record, summary
from turns import in_turn

from glamor_cli.evaluation.metrics import compute_metrics
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.vision.pairs import Box, Pair, make_pair
from glamor_cli.weights.network_file import load_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

FER = "25.10.3"
# The package needs pkg_resources, which later versions of setuptools have no more.
ENVIRONMENT = (
    *("uv", "run", "--no-project", "--isolated", "--python", "3.11"),
    *("--with", f"fer=={FER}", "--with", "setuptools<81", "python"),
)
THREADS = (1, 2)
NETWORKS = ("tflite", "keras")
# The package's names for our classes.
NAMES = {
    "Anger": "angry",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Surprise": "surprise",
}


def main() -> None:
    """Judge, time, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("validation", type=Path)
    parser.add_argument("--weights", nargs="+", default=[DEFAULT_WEIGHTS])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--faces", type=int, default=40, help="faces timed in each round")
    parser.add_argument("--fer-python", type=Path, help="an environment that has the package")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    images, labels, classes = read_validation(options.validation)
    command = [str(options.fer_python)] if options.fer_python else list(ENVIRONMENT)
    figures: dict[str, Any] = {"fer": FER, "images": len(images)}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        whole, some = Path(folder) / "all.npy", Path(folder) / "some.npy"
        np.save(whole, images)
        np.save(some, images[: options.faces])
        workers = {count: stack.enter_context(fer_worker(command, count)) for count in THREADS}
        runtimes = {
            count: {
                name: open_runtime(name, device="cpu", threads=count) for name in options.weights
            }
            for count in THREADS
        }
        figures["judged"] = {
            name: judge_ours(runtime, name, images, labels, classes)
            for name, runtime in runtimes[1].items()
        }
        for network in NETWORKS:
            answer = ask(workers[1], do="classify", network=network, images=str(whole))
            figures["judged"][f"fer_{network}"] = judge_theirs(answer, labels, classes)
            figures["versions"] = answer["versions"]
        figures["ms_per_face"] = {
            f"{count}_threads": time_rounds(
                runtimes[count], workers[count], images[: options.faces], some, options.rounds
            )
            for count in THREADS
        }
    record("compare-fer", figures, options.out)


def read_validation(
    path: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.intp], tuple[str, ...]]:
    """Read the images [N, 48, 48] that are judged, their labels and the classes' names."""
    with np.load(path) as arrays:
        keep = arrays["lossless"] & ~arrays["duplicate_of_train"]
        classes = tuple(str(name) for name in arrays["classes"])
        return arrays["images"][keep], arrays["labels"][keep].astype(np.intp), classes


@contextlib.contextmanager
def fer_worker(command: list[str], threads: int) -> Iterator["subprocess.Popen[str]"]:
    """Start the package at the other end of a pipe."""
    script = Path(__file__).with_name("fer_worker.py")
    with subprocess.Popen(
        [*command, str(script), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(worker: "subprocess.Popen[str]", **request: str) -> dict[str, Any]:
    """Send a request and wait for the answer."""
    if worker.stdin is None or worker.stdout is None:
        raise SystemExit("the worker has no pipes")
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("the package's process ended; its last words are above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def judge_ours(
    runtime: Runtime,
    weights: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.intp],
    classes: tuple[str, ...],
) -> dict[str, float | int]:
    """Accuracy, macro-F1 and parameters of the weights; the whole image is the face."""
    pairs = [whole_face(image) for image in images]
    answer = runtime(
        np.stack([pair.face for pair in pairs]), np.stack([pair.context for pair in pairs])
    )
    order = [runtime.metadata.classes.index(name) for name in classes]
    network, _ = load_network(find_weights(weights))
    parameters = sum(values.numel() for values in network.parameters())
    return _judge(answer.probabilities[:, order], labels, classes, parameters)


def whole_face(image: NDArray[np.uint8]) -> Pair:
    """Take an image [48, 48] as a face without a context."""
    return make_pair(np.repeat(image[..., None], 3, axis=2), Box(0, 0, *image.shape[::-1]))


def judge_theirs(
    answer: dict[str, Any], labels: NDArray[np.intp], classes: tuple[str, ...]
) -> dict[str, float | int]:
    """The same of the package's answers."""
    order = [answer["labels"].index(NAMES[name]) for name in classes]
    probabilities = np.array(answer["probabilities"], np.float32)[:, order]
    return _judge(probabilities, labels, classes, answer["parameters"])


def time_rounds(
    runtimes: dict[str, Runtime],
    worker: "subprocess.Popen[str]",
    images: NDArray[np.uint8],
    file: Path,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Milliseconds per face, all taking turns; the first round warms up."""

    def ours(runtime: Runtime) -> list[float]:
        seconds = []
        for image in images:
            began = time.perf_counter()
            pair = whole_face(image)
            runtime(pair.face[None], pair.context[None])
            seconds.append(time.perf_counter() - began)
        return seconds

    def theirs(network: str) -> list[float]:
        answer = ask(worker, do="time", network=network, images=str(file))
        seconds: list[float] = answer["seconds"]
        return seconds

    sides = {name: partial(ours, runtime) for name, runtime in runtimes.items()}
    sides |= {f"fer_{name}": partial(theirs, name) for name in NETWORKS}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name in in_turn(sides, number):
            seconds = sides[name]()
            if number:
                times[name] += [value * 1e3 for value in seconds]
    return {name: summary(values, 3) for name, values in times.items()}


def _judge(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.intp],
    classes: tuple[str, ...],
    parameters: int,
) -> dict[str, float | int]:
    metrics = compute_metrics(probabilities, labels, classes)
    return {
        "accuracy": round(metrics.accuracy, 4),
        "macro_f1": round(metrics.macro_f1, 4),
        "parameters": parameters,
    }


if __name__ == "__main__":
    main()
