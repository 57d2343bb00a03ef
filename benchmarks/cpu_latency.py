"""How fast is each precision on each runtime, on this CPU? Side by side, interleaved in one run.

    uv run python benchmarks/cpu_latency.py --weights NAME_OR_FILE --store STORE

Exports the weights to FP32, FP16 and INT8, opens each on ONNX Runtime and OpenVINO, and times all
of them, and torch, in interleaved rounds on real pairs at batch 1 and 32. Prints medians and ratios
to ONNX Runtime in FP32 and writes benchmarks/results/cpu-latency-HARDWARE.json.

OpenVINO computes in bfloat16 only where the CPU multiplies it itself (AMX, AVX512-BF16): its
bounds hold there and nowhere else.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from exports import export_all, open_all, versions
from recording import RESULTS, hardware, write_result

from glamor_cli.export.pairs import load_pairs
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.system.cpus import available_cpus
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.timing import time_interleaved
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

INT8_BOUND = 1.3
BF16_BOUNDS = {1: 2.0, 32: 3.0}


@dataclass(frozen=True)
class Row:
    """One precision on one runtime at one batch size.

    Attributes:
        export: What was run.
        runtime: By whom.
        provider: What truly ran it.
        batch: Pairs a call.
        calls: Calls measured.
        p50_ms: Median of a call.
        p90_ms: 90th percentile.
        ratio: Median of ONNX Runtime in FP32 over this one.
        bound: The ratio that is wanted; None where none is.
    """

    export: str
    runtime: str
    provider: str
    batch: int
    calls: int
    p50_ms: float
    p90_ms: float
    ratio: float
    bound: float | None


def main() -> None:
    """Export, open, time, print, write."""
    options = parse()
    weights = find_weights(options.weights)
    threads = options.threads or available_cpus()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="glamor-latency-") as folder:
        files = export_all(
            weights, options.store, options.exports or Path(folder), "fp32", "fp16", "int8"
        )
        line_up = list(open_all(files, threads, gpu=False))
        torch = TorchRuntime(weights, device="cpu", threads=threads)
        line_up.append(("fp32", torch, "torch"))
        for batch in map(int, options.batch.split(",")):
            rows += measure(line_up, batch, options)
    result = {
        "weights": {"name": torch.metadata.name, "sha256": sha256(weights)},
        "threads": threads,
        "rows": [asdict(row) for row in rows],
    }
    path = options.out or RESULTS / f"cpu-latency-{hardware(gpu=True)}.json"
    write_result(path, result, describe_environment().to_dict() | versions())
    print(f"figures in {path}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=DEFAULT_WEIGHTS, help="name or .safetensors file")
    parser.add_argument("--store", type=Path, required=True, help="pair store")
    parser.add_argument("--batch", default="1,32", help="comma-separated")
    parser.add_argument("--exports", type=Path, help="folder to keep and reuse the exports in")
    parser.add_argument("--threads", type=int, help="CPU threads; else all cores")
    parser.add_argument("--seconds", type=float, default=3.0, help="least time for each row")
    parser.add_argument("--iterations", type=int, default=10, help="least calls for each row")
    parser.add_argument(
        "--out", type=Path, help="else benchmarks/results/cpu-latency-HARDWARE.json"
    )
    return parser.parse_args()


def measure(
    line_up: list[tuple[str, Runtime, str]], batch: int, options: argparse.Namespace
) -> list[Row]:
    """Time all of them against each other at one batch size."""
    classes = line_up[0][1].metadata.classes
    pairs = load_pairs(options.store, batch, classes).repeat_to(batch)
    times = time_interleaved(
        [lambda runtime=runtime: runtime(pairs.face, pairs.context) for _, runtime, _ in line_up],
        seconds=options.seconds,
        iterations=options.iterations,
        warmup_seconds=0.2,
    )
    baseline = None
    rows = []
    for (export, runtime, name), lasted in zip(line_up, times, strict=True):
        if isinstance(lasted, Exception):
            raise lasted
        p50, p90 = (float(value) for value in np.percentile(lasted, (50, 90)) * 1e3)
        if baseline is None:
            assert (export, name) == ("fp32", "onnxruntime"), "the baseline comes first"
            baseline = p50
        bound = find_bound(export, runtime.provider, name, batch)
        row = Row(
            export, name, runtime.provider, batch, len(lasted), p50, p90, baseline / p50, bound
        )
        wanted = "" if bound is None else f"  (wanted {bound:.1f})"
        print(
            f"batch {batch:<4}{export:<8}{name + ' ' + runtime.provider:<36}"
            f"{p50:9.2f} ms  p90 {p90:9.2f}  {row.ratio:5.2f}x{wanted}",
            flush=True,
        )
        rows.append(row)
    return rows


def find_bound(export: str, provider: str, runtime: str, batch: int) -> float | None:
    """Tell the ratio that is wanted of a row."""
    if export == "int8" and runtime == "onnxruntime":
        return INT8_BOUND
    if export == "fp32" and "bf16" in provider:
        return BF16_BOUNDS.get(batch)
    return None


if __name__ == "__main__":
    main()
