"""Glamor against TensorFlow on this CPU: network at batch 1 and 32, training at batch 4 and 32.

TensorFlow runs in an environment of its own, thrown away afterwards, as a child process that is
asked over pipes (``keras_twin_child.py``), so that both sides take turns in one run:

    uv run python benchmarks/keras_twin.py

The child gets our weights, and its answers are compared with ours before anything is timed: it is
the same network. Each side times itself, without the pipes, and in each of its turns first works
untimed, so that its threads are awake and its weights in the caches. ``--export`` adds other
exports, on ONNX Runtime and on OpenVINO. Writes
``benchmarks/results/keras-twin-<cpu>-torch-<version>.json``.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from recording import RESULTS, processor, slug, write_result
from turns import in_turn, take_turn

from glamor_cli.bench.floor import count_work, measure_rates
from glamor_cli.bench.options import Precision
from glamor_cli.bench.torch_backends import AsWritten
from glamor_cli.bench.training import training_step
from glamor_cli.export.pairs import Pairs, random_pairs
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.options import Provider
from glamor_cli.system.cpus import available_cpus
from glamor_cli.system.environment import describe_environment
from glamor_cli.training.keras_sgd import KerasSGD
from glamor_cli.training.memory import keep_freed_memory
from glamor_cli.training.precision import cpu_has_bf16
from glamor_cli.weights.network_file import load_network
from glamor_cli.weights.registry import find_weights

CHILD = Path(__file__).with_name("keras_twin_child.py")
REQUIREMENTS = ("tensorflow-cpu", "numpy")
AUTHORS = "tensorflow eager"
"""How the authors' program answers and trains: no function of it is compiled."""
TWIN_WAYS = ("eager", "graph", "xla")
MODERN_BATCH = 32
"""Of the recipe ``modern``, which sees more images a second than the authors' batches of four."""
SETTLE_SECONDS = 0.05
"""Between two turns: the threads of the one spin for a while after their work."""


class Twin:
    """The child process: one request a line, one answer a line, both JSON.

    Between requests it is stopped: TensorFlow's threads stay busy for seconds after their work.
    """

    def __init__(self, python: Path | None, threads: int) -> None:
        command = ["uv", "run", "--no-project", "--quiet"]
        for requirement in REQUIREMENTS:
            command += ["--with", requirement]
        command = [str(python)] if python else [*command, "python"]
        self._process = subprocess.Popen(
            [*command, str(CHILD), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # the signals are for all its processes, and not for ours
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        # A child that has died must not hide what is said of it.
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGCONT)
        self._process.wait(timeout=60)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.killpg(self._process.pid, signal.SIGCONT)
        with suppress(BrokenPipeError):  # no answer comes then
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the child ended with exit code {self._process.wait()}")
        os.killpg(self._process.pid, signal.SIGSTOP)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def seconds(self, what: str, way: str, batch: int) -> float:
        """Let the child take its turn."""
        return float(self.ask(do="take_turn", what=what, way=way, batch=batch)["seconds"])

    def calls(self, what: str, batch: int) -> dict[str, Callable[[], float]]:
        """Give the child's turns by name."""
        return {
            f"tensorflow {way}": lambda way=way: self.seconds(what, way, batch) for way in TWIN_WAYS
        }


def main() -> None:
    """Compare, measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, help="an interpreter that has TensorFlow already")
    parser.add_argument("--part", choices=("network", "training"), help="only this one")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every contender")
    parser.add_argument("--export", type=Path, action="append", default=[], help="more ONNX files")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    threads = available_cpus()
    torch.set_num_threads(threads)
    weights = find_weights("glamor-original")
    network, _ = load_network(weights)
    with (
        keep_freed_memory(),
        tempfile.TemporaryDirectory() as folder,
        Twin(options.python, threads) as twin,
    ):
        tensors = Path(folder) / "weights.npz"
        np.savez(tensors, **{name: value.numpy() for name, value in network.state_dict().items()})
        hello = twin.ask(do="load", weights=str(tensors))
        result: dict[str, Any] = {
            "threads": threads,
            "agreement": agree(twin, network, Path(folder)),
        }
        if options.part != "training":
            result |= measure_networks(twin, network, options.export, options.rounds)
        if options.part != "network":
            result |= measure_trainings(twin, network, options.rounds)
    environment = describe_environment()
    part = f"-{options.part}" if options.part else ""
    version = environment.packages["torch"].partition("+")[0]
    name = f"keras-twin{part}-{slug(processor(environment))}-torch-{version}.json"
    where = environment.to_dict() | {"tensorflow": hello["version"]}
    print(write_result(options.out / name, result, where))


def measure_networks(
    twin: Twin, network: GlamorNet, exports: list[Path], rounds: int
) -> dict[str, Any]:
    """Batch 1 and 32, and how near that is to the CPU's peak."""
    threads, weights = available_cpus(), find_weights("glamor-original")
    files = {
        "onnxruntime fp32": weights.with_suffix(".onnx"),
        "torch fp32": weights,
        **{f"onnxruntime {path.stem}": path for path in exports},
    }
    runtimes = {
        f"glamor {name}": open_runtime(path, device="cpu", threads=threads)
        for name, path in files.items()
    }
    for path in (weights.with_suffix(".onnx"), *exports):
        name = "fp32" if path.stem == weights.stem else path.stem
        runtimes[f"glamor openvino {name}"] = open_runtime(
            path, threads=threads, provider=Provider.OPENVINO
        )
    result: dict[str, Any] = {
        f"network, batch {batch}": measure_network(
            twin, runtimes, batch, rounds * (3 if batch == 1 else 1)
        )
        for batch in (1, 32)
    }
    return result | {"peak": peak(result, network, threads)}


def agree(twin: Twin, network: GlamorNet, folder: Path) -> dict[str, float]:
    """Largest difference of the probabilities, each side at its own, on the same pairs."""
    pairs = random_pairs(4)
    np.savez(folder / "pairs.npz", face=pairs.face, context=pairs.context)
    answer = twin.ask(do="answer", pairs=str(folder / "pairs.npz"))
    with torch.inference_mode():
        output = network(torch.from_numpy(pairs.face), torch.from_numpy(pairs.context))
    ours = output.logits.softmax(1).numpy()
    difference = float(np.abs(ours - np.array(answer["probabilities"])).max())
    if not difference < 1e-5:
        raise SystemExit(f"the twin is another network: it is off by {difference}")
    return {"max_abs_diff": difference}


def measure_network(
    twin: Twin, runtimes: dict[str, Runtime], batch: int, rounds: int
) -> dict[str, Any]:
    """Every contender once a round."""
    pairs = random_pairs(batch)
    calls = twin.calls("predict", batch)
    for name, runtime in runtimes.items():
        calls[name] = lambda r=runtime: take_turn(lambda: r(pairs.face, pairs.context))
    return compare(calls, rounds)


def measure_trainings(twin: Twin, network: GlamorNet, rounds: int) -> dict[str, Any]:
    """The authors' step on both sides, batch 4 and float32; and an image of our own recipe."""
    steps = twin.calls("train", batch=4)
    paper = our_step(network, random_pairs(4))
    steps["glamor torch fp32"] = lambda: take_turn(paper)
    images = {f"{name}, batch 4": lambda call=call: call() / 4 for name, call in steps.items()}
    precisions = (None, torch.bfloat16) if cpu_has_bf16() else (None,)
    for dtype in precisions:
        ours = our_step(network, random_pairs(MODERN_BATCH), dtype)
        name = f"glamor torch {'fp32' if dtype is None else 'bf16'}, batch {MODERN_BATCH}"
        images[name] = lambda ours=ours: take_turn(ours) / MODERN_BATCH
    return {
        "training step, batch 4": compare(steps, rounds),
        "training, per image": compare(images, rounds),
    }


def our_step(
    network: GlamorNet, pairs: Pairs, dtype: torch.dtype | None = None
) -> Callable[[], float]:
    """The paper recipe's step on a copy of the network; others move as many numbers."""
    trained = GlamorNet(network.config)
    trained.load_state_dict(network.state_dict())
    trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = KerasSGD(trained.parameters(), lr=0.0, momentum=0.9)
    return training_step(trained, optimizer, pairs, dtype)


def compare(calls: dict[str, Callable[[], float]], rounds: int) -> dict[str, Any]:
    """Take turns, the order rotating; medians, and ratios round by round.

    To the fastest twin, and to the one that works as the authors' program does.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    names = list(calls)
    for turn in range(rounds):
        for name in in_turn(names, turn):
            time.sleep(SETTLE_SECONDS)
            times[name].append(calls[name]())
        print(".", end="", file=sys.stderr, flush=True)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    twins = [name for name in names if name.startswith("tensorflow")]
    twin = min(twins, key=medians.__getitem__)
    authors = next(name for name in twins if name.startswith(AUTHORS))

    def ratio(name: str, to: str) -> float:
        return round(float(np.median(np.array(times[to]) / np.array(times[name]))), 2)

    return {
        name: {
            "p50_ms": round(medians[name] * 1e3, 3),
            "p90_ms": round(float(np.percentile(times[name], 90)) * 1e3, 3),
            "times_as_fast_as_tensorflow": ratio(name, twin),
            "times_as_fast_as_the_authors_way": ratio(name, authors),
        }
        for name in names
    } | {"compared_with": twin, "rounds": rounds}


def peak(result: dict[str, Any], network: GlamorNet, threads: int) -> dict[str, float]:
    """How near the network at batch 32 comes to the fastest float32 matrix product."""
    rates = measure_rates("cpu", Precision.FP32, threads)
    one = torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 112, 112)
    operations = 32 * count_work(AsWritten(network, 1.0).eval(), *one).operations
    took = result["network, batch 32"]["glamor onnxruntime fp32"]["p50_ms"] / 1e3
    return {
        "matrix_product_gflops": round(rates.operations / 1e9, 1),
        "network_gflops": round(operations / took / 1e9, 1),
        "share": round(operations / took / rates.operations, 3),
    }


if __name__ == "__main__":
    main()
