"""Does every precision on every runtime give the float32 network's answers? On real pairs.

    uv run python benchmarks/agreement.py --weights NAME_OR_FILE --store STORE

Exports the weights to FP32, FP16 and both forms of INT8, runs each on every runtime that this
machine has, over a split of a pair store, and compares with torch in float32: largest difference,
share of the same most probable emotion, accuracy. The bounds that `glamor export` keeps stand
beside. Writes benchmarks/results/agreement-HARDWARE.json and exits with 1 if a bound is missed.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from exports import EXPORTS, export_all, open_all, versions
from numpy.typing import NDArray
from recording import RESULTS, hardware, write_result

from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.export.options import default_tolerance
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.interface import Output, Runtime, max_abs_diff
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.system.environment import describe_environment
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

_CHUNK = 32


@dataclass(frozen=True)
class Row:
    """One precision on one runtime."""

    export: str
    runtime: str
    provider: str
    pairs: int
    max_abs_diff: float
    top1_agreement: float
    accuracy: float
    accuracy_change: float
    allowed_diff: float
    least_agreement: float
    largest_loss: float
    within: bool


def main() -> None:
    """Export, run, compare, print, write."""
    options = parse()
    weights = find_weights(options.weights)
    split = PairStore.open(options.store).split(options.split)
    rows_of_split = np.linspace(0, len(split) - 1, min(options.pairs, len(split))).round()
    indices = rows_of_split.astype(np.intp)
    reference = TorchRuntime(weights, device="cpu", threads=options.threads)
    expected = run(reference, split, indices)
    labels = split.labels[indices]
    rows = []
    with tempfile.TemporaryDirectory(prefix="glamor-agreement-") as folder:
        files = export_all(weights, options.store, options.exports or Path(folder))
        for export, runtime, name in open_all(files, options.threads):
            started = time.perf_counter()
            answer = run(runtime, split, indices)
            row = compare(export, name, runtime, answer, expected, labels)
            rows.append(row)
            print(describe(row), f"({time.perf_counter() - started:.0f} s)", flush=True)
    result = {
        "weights": {"name": reference.metadata.name, "sha256": sha256(weights)},
        "split": options.split,
        "pairs": len(indices),
        "reference_accuracy": accuracy(expected, labels),
        "rows": [asdict(row) for row in rows],
    }
    path = options.out or RESULTS / f"agreement-{hardware(gpu=True)}.json"
    write_result(path, result, describe_environment().to_dict() | versions())
    print(
        f"{sum(row.within for row in rows)} of {len(rows)} within their bounds; figures in {path}"
    )
    sys.exit(0 if all(row.within for row in rows) else 1)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, help="name or .safetensors file")
    parser.add_argument("--store", type=Path, required=True, help="pair store")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--pairs", type=int, default=1000, help="at most; spread over the split")
    parser.add_argument("--exports", type=Path, help="folder to keep and reuse the exports in")
    parser.add_argument("--threads", type=int, help="CPU threads; else all cores")
    parser.add_argument("--out", type=Path, help="else benchmarks/results/agreement-HARDWARE.json")
    return parser.parse_args()


def run(runtime: Runtime, split: Split, indices: NDArray[np.intp]) -> Output:
    """Answer the chosen rows of a split."""
    parts = [
        runtime(*split.pairs(indices[start : start + _CHUNK]))
        for start in range(0, len(indices), _CHUNK)
    ]
    return Output(*map(np.concatenate, zip(*parts, strict=True)))


def compare(
    export: str,
    name: str,
    runtime: Runtime,
    answer: Output,
    expected: Output,
    labels: NDArray[np.int64],
) -> Row:
    """Hold one runtime's answers against the reference's."""
    bound = default_tolerance(EXPORTS[export].precision, runtime.arithmetic)
    difference = max_abs_diff(answer, expected)
    same = answer.probabilities.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    change = accuracy(answer, labels) - accuracy(expected, labels)
    return Row(
        export=export,
        runtime=name,
        provider=runtime.provider,
        pairs=len(labels),
        max_abs_diff=difference,
        top1_agreement=float(same.mean()),
        accuracy=accuracy(answer, labels),
        accuracy_change=change,
        allowed_diff=bound.atol,
        least_agreement=bound.top1,
        largest_loss=bound.accuracy,
        # Written so that NaN is outside.
        within=bool(
            difference <= bound.atol and same.mean() >= bound.top1 and -change <= bound.accuracy
        ),
    )


def accuracy(output: Output, labels: NDArray[np.int64]) -> float:
    """Share of the pairs that are answered as labelled."""
    return float((output.probabilities.argmax(axis=1) == labels).mean())


def describe(row: Row) -> str:
    """One line for people."""
    return (
        f"{row.export:<14}{row.runtime + ' ' + row.provider:<44}"
        f"difference {row.max_abs_diff:.1e} (at most {row.allowed_diff:g})  "
        f"same emotion {row.top1_agreement:.2%} (at least {row.least_agreement:.1%})  "
        f"accuracy {row.accuracy:.2%}, {row.accuracy_change:+.2%} "
        f"(at least {-row.largest_loss:.1%})  {'ok' if row.within else 'OUTSIDE'}"
    )


if __name__ == "__main__":
    main()
