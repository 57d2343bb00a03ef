"""Measure everything that needs a GPU, in one command and under ten minutes.

    uv run python benchmarks/gpu.py
    uv run python benchmarks/gpu.py --dry-run      # the same road on a CPU, as far as it goes

Each part runs in a process of its own, so that one that fails or hangs costs only itself; the parts
that matter most come first, and what no time is left for is recorded as such. Writes
``benchmarks/results/gpu-<name>-torch-<version>.json``.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from glamor_cli.atomic import write_text
from glamor_cli.bench.config import Backend, BenchConfig, Precision, Target
from glamor_cli.bench.environment import describe_environment
from glamor_cli.bench.run import run_bench

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
BUDGET_SECONDS = 570.0
ALL = (Precision.FP32, Precision.FP16, Precision.BF16)
RUNNERS = (Backend.EAGER, Backend.CUDAGRAPH, Backend.FUSED)


def bench(*, dry: bool, compile_mode: str | None = None, **settings: Any) -> list[dict[str, Any]]:
    """Run ``glamor bench`` and give its rows; on a dry run the same targets on the CPU, shortly."""
    if dry:
        settings["precisions"] = None
        backends = tuple(b for b in settings["backends"] if b is not Backend.COMPILE)
        settings |= {"backends": (Backend.EAGER, *backends[1:]), "batches": settings["batches"][:1]}
    config = BenchConfig(
        device="cpu" if dry else "cuda",
        seconds=0.0 if dry else 0.4,
        iterations=1 if dry else 30,
        warmup_seconds=0.0 if dry else 0.2,
        compile_mode=compile_mode,
        **settings,
    )
    result = run_bench(config, lambda what: print(what, file=sys.stderr, flush=True))
    return [row.to_dict() for row in result.rows]


def tests(*, dry: bool) -> dict[str, Any]:
    """Run the tests that need a GPU."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "-q"]
    command += ["tests/network/test_fused_core.py", "tests/runtimes", "tests/export"]
    if dry:
        command.append("--collect-only")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {"exit_code": done.returncode, "end": done.stdout.strip().splitlines()[-15:]}


def launch(*, dry: bool) -> dict[str, Any]:
    """Time an empty kernel: what no launch can be faster than."""
    if dry:
        return {"skipped": "there is no launch on a CPU"}
    import torch
    import triton

    from glamor_cli.bench.device_clock import device_clock
    from glamor_cli.bench.timing import host_clock

    @triton.jit
    def nothing() -> None:
        pass

    def from_python() -> None:
        nothing[(1,)]()

    def until_done() -> None:
        from_python()
        torch.cuda.synchronize()

    from_python()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        from_python()

    def replay_until_done() -> None:
        graph.replay()
        torch.cuda.synchronize()

    def median(clock: Callable[[Any], float], call: Callable[[], None]) -> float:
        return float(np.median([clock(call) for _ in range(100)])) * 1e3

    return {
        "device_p50_ms": median(device_clock, from_python),
        "graph_device_p50_ms": median(device_clock, graph.replay),
        "host_until_done_p50_ms": median(host_clock, until_done),
        "graph_host_until_done_p50_ms": median(host_clock, replay_until_done),
    }


def core(*, dry: bool) -> list[dict[str, Any]]:
    """The core at every batch size and precision, without compiling."""
    batches = (32, 1, 8, 64, 128, 256)
    return bench(dry=dry, targets=(Target.CORE,), batches=batches, backends=RUNNERS, precisions=ALL)


def network(*, dry: bool) -> list[dict[str, Any]]:
    """The network, with ONNX Runtime beside."""
    backends = (*RUNNERS, Backend.ORT_CUDA)
    precisions = (Precision.FP32, Precision.FP16)
    return bench(
        dry=dry,
        targets=(Target.NETWORK,),
        batches=(32, 1, 256),
        backends=backends,
        precisions=precisions,
    )


def core_compiled(*, dry: bool) -> list[dict[str, Any]]:
    """The core against torch.compile in its best mode."""
    return bench(
        dry=dry,
        targets=(Target.CORE,),
        batches=(32, 1, 256),
        backends=(Backend.EAGER, Backend.COMPILE, Backend.FUSED),
        precisions=(Precision.FP16,),
    )


def network_compiled(*, dry: bool) -> list[dict[str, Any]]:
    """The network against torch.compile: CUDA graphs first, then also tuned."""
    rows = []
    for mode in ("reduce-overhead", "max-autotune"):
        rows += bench(
            dry=dry,
            compile_mode=mode,
            targets=(Target.NETWORK,),
            batches=(32,),
            backends=(Backend.EAGER, Backend.COMPILE, Backend.FUSED),
            precisions=(Precision.FP16,),
        )
    return rows


def tensorrt(*, dry: bool) -> list[dict[str, Any]]:
    """Engines built here, where TensorRT is."""
    return bench(
        dry=dry,
        targets=(Target.NETWORK,),
        batches=(32, 1),
        backends=(Backend.EAGER, Backend.TENSORRT),
        precisions=(Precision.FP16,),
    )


def layouts(*, dry: bool) -> list[dict[str, Any]]:
    """Layouts of the kernel, for ``choose_launch``."""
    if dry:
        return [{"skipped": "the kernel needs a GPU"}]
    import torch

    from glamor_cli.bench.device_clock import device_clock
    from glamor_cli.network.fused_core import FusedCore, Launch
    from glamor_cli.network.glamor_net import GlamorNet

    network = GlamorNet().eval()
    rows: list[dict[str, Any]] = []
    for dtype, batch in itertools.product((torch.float16, torch.float32), (32, 256)):
        fused = FusedCore(network, 1.0, dtype).cuda()
        maps = [
            torch.rand(batch, 256, side, side, device="cuda", dtype=dtype).contiguous(
                memory_format=torch.channels_last
            )
            for side in (6, 7)
        ]
        out = fused.allocate(batch, 7, 7)
        half = dtype is torch.float16
        for samples, step, warps, stages in itertools.product(
            (1, 2) if half else (1,), (64, 32) if half else (32, 16), (4, 8), (2, 3)
        ):
            for dot in ("tf32x3",) if half else ("tf32x3", "ieee"):
                layout = Launch(samples, step, warps, stages, dot)
                row = {"batch": batch, "dtype": str(dtype)} | vars(layout)
                try:
                    call = lambda f=fused, m=maps, o=out, c=layout: f(*m, out=o, launch=c)  # noqa: E731
                    call()
                    times = [device_clock(call) for _ in range(20)]
                    row["device_p50_ms"] = float(np.median(times)) * 1e3
                except Exception as error:
                    row["failed"] = f"{type(error).__name__}: {error}"
                rows.append(row)
    return rows


PARTS = {
    part.__name__: part
    for part in (
        launch,
        core,
        network,
        tests,
        core_compiled,
        network_compiled,
        tensorrt,
        layouts,
    )
}


def run_parts(*, dry: bool) -> dict[str, Any]:
    """Run every part in its own process, within what is left of the time."""
    began, found = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name in PARTS:
            left = BUDGET_SECONDS - (time.monotonic() - began)
            if left < 10 and not dry:
                found[name] = {"skipped": "no time was left"}
                continue
            print(f"== {name}, {left:.0f} s left", file=sys.stderr, flush=True)
            out = Path(folder) / f"{name}.json"
            command = [sys.executable, __file__, "--part", name, "--out", str(out)]
            command += ["--dry-run"] if dry else []
            started = time.monotonic()
            try:
                done = subprocess.run(command, cwd=ROOT, timeout=None if dry else left, check=False)
                outcome: Any = {"failed": f"exit code {done.returncode}"}
            except subprocess.TimeoutExpired:
                outcome = {"failed": "the time was up"}
            if out.is_file():
                outcome = json.loads(out.read_text(encoding="utf-8"))
            found[name] = {"seconds": round(time.monotonic() - started, 1), "result": outcome}
    return found


def main() -> None:
    """Run one part, or all, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=tuple(PARTS), help="only this one")
    parser.add_argument("--out", type=Path, help="the result's file")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, as far as it goes")
    options = parser.parse_args()
    if options.part is not None:
        result: Any = PARTS[options.part](dry=options.dry_run)
    else:
        result = run_parts(dry=options.dry_run)
        # Here, so that the parts' processes have the GPU's memory to themselves.
        import torch

        result = {"environment": describe_environment(), **result}
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else "dry-run"
        slug = re.sub(r"[^a-z0-9]+", "-", f"gpu-{name}-torch-{torch.__version__}".lower())
        options.out = options.out or RESULTS / f"{slug}.json"
    text = json.dumps(result, indent=1) + "\n"
    if options.out is None:
        print(text)
        return
    write_text(options.out, text)
    if options.part is None:
        summarise(result)
        print(f"written to {options.out}")


def summarise(result: dict[str, Any]) -> None:
    """Print a short table: where the result is read through a narrow window, it comes last."""
    for part, found in result.items():
        rows = found.get("result") if isinstance(found, dict) else None
        if not isinstance(rows, list):
            if part != "environment":
                print(part, json.dumps(found)[:300])
            continue
        for row in rows:
            if row.get("device_p50_ms") or row.get("p50_ms"):
                keys = ("batch", "backend", "provider", "precision", "dtype", "samples", "step")
                keys += ("warps", "stages", "dot", "p50_ms", "device_p50_ms", "floor_ratio")
                keys += ("max_abs_diff",)
                figures = [row[key] for key in keys if row.get(key) is not None]
                print(part, *(f"{v:.4g}" if isinstance(v, float) else v for v in figures))
            elif row.get("status", "ok") != "ok" or "failed" in row:
                print(part, row.get("backend", ""), row.get("status") or row.get("failed"))


if __name__ == "__main__":
    main()
