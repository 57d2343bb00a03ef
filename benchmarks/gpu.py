"""Measure everything that needs a GPU, in one command and under ten minutes.

    uv run python benchmarks/gpu.py
    uv run python benchmarks/gpu.py --dry-run      # the same parts on a CPU, as far as they go
    PYTHONPATH=. python benchmarks/gpu.py          # where glamor is not installed

Each part runs in a process of its own and has a time of its own, so that one that fails or hangs
costs only itself; the parts that matter most come first, and what no time is left for is recorded
as such. What a part has measured is kept from then on. Writes
``benchmarks/results/gpu-<name>-torch-<version>.json``, anew after every part.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpu_verdict import COMPILE_MODES, judge
from recording import RESULTS, slug, write_result

from glamor_cli.bench.options import Backend, BenchConfig, Precision, Target
from glamor_cli.files.atomic import write_text
from glamor_cli.system.environment import describe_environment

ROOT = Path(__file__).parents[1]
BUDGET_SECONDS = 540.0
"""Ten minutes, less what starting and ending take."""
_LEAST_SECONDS = 25.0
"""A part that has less would hardly have begun: starting takes half of it."""
_ENDING_SECONDS = 5.0
"""What a part has left for its end, once its tests are stopped."""
_LINES_KEPT = 500
"""Of what the tests say, from its end: a line for each of them, and why some have failed."""
GPU_TESTS = (
    "tests/runtimes/test_cuda_graphs.py",
    "tests/runtimes/test_runtimes.py",
    "tests/training/test_cuda.py",
    # Compiles some thirty kernels one after another, so that the others may have no time left.
    "tests/network/test_fused_core.py",
    "tests/export/test_tensorrt_engines.py",
    "tests/vision/test_centerface.py",
)
ALL = (Precision.FP32, Precision.FP16, Precision.BF16)
RUNNERS = (Backend.EAGER, Backend.CUDAGRAPH, Backend.FUSED)

Rows = list[dict[str, Any]]
Keep = Callable[[Any], None]
"""Takes all that a part has found so far, and writes it down."""


def bench(keep: Keep, *, dry: bool, batches: tuple[int, ...], **settings: Any) -> Rows:
    """Run ``glamor bench`` and give its rows; on a dry run the same targets on the CPU, shortly."""
    if dry:
        settings["precisions"] = None
        backends = tuple(b for b in settings["backends"] if b is not Backend.COMPILE)
        settings["backends"] = (Backend.EAGER, *backends[1:])
        settings["compile_mode"] = None
        batches = batches[:1]
    # Here, because it brings what takes long to import, and not every part needs it.
    from glamor_cli.bench.run import run_bench

    rows: Rows = []
    for batch in batches:
        config = BenchConfig(
            device="cpu" if dry else "cuda",
            seconds=0.0 if dry else 0.2,
            iterations=1 if dry else 30,
            warmup_seconds=0.0 if dry else 0.2,
            batches=(batch,),
            **settings,
        )
        result = run_bench(config, lambda what: print(what, file=sys.stderr, flush=True))
        rows += [row.to_dict() for row in result.rows]
        keep(rows)
    return rows


def tests(keep: Keep, *, dry: bool, seconds: float) -> dict[str, Any]:
    """Run the tests that need a GPU; what they said so far is kept as they go."""
    ends = time.monotonic() + seconds
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-n", "0", "-v", *GPU_TESTS]
    command += ["--tb=short", "--durations=10"]
    # What another version of a library warns of is not what is asked here.
    command += ["--continue-on-collection-errors", "-W", "default"]
    if dry:
        command.append("--collect-only")
    # One process has the machine to itself here, and its references are computed on the CPU.
    settings = os.environ | {"OMP_NUM_THREADS": str(min(8, os.cpu_count() or 1))}
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.txt"
        with said.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT
            )
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDING_SECONDS)
            if not dry and time.monotonic() > ends - 3 * _ENDING_SECONDS:
                end_tests(process)
            lines = said.read_text(errors="replace").strip().splitlines()
            result = {"exit_code": process.poll(), "end": lines[-_LINES_KEPT:]}
            keep(result)
            if result["exit_code"] is not None:
                return result


def end_tests(process: subprocess.Popen[bytes]) -> None:
    """Stop the tests. Interrupted, pytest still says why some have failed; killed, only which."""
    process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ENDING_SECONDS)
    process.kill()
    process.wait()


def launch(_: Keep, *, dry: bool) -> dict[str, Any]:
    """Time an empty kernel: what no launch can be faster than."""
    if dry:
        return {"skipped": "there is no launch on a CPU"}
    import torch
    import triton

    from glamor_cli.bench.device_clock import device_clock
    from glamor_cli.system.timing import host_clock

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


def core(keep: Keep, *, dry: bool) -> Rows:
    """The core at every batch size and precision, without compiling."""
    return bench(
        keep,
        dry=dry,
        targets=(Target.CORE,),
        batches=(32, 1, 8, 64, 128, 256),
        backends=RUNNERS,
        precisions=ALL,
    )


def network(keep: Keep, *, dry: bool) -> Rows:
    """The network, with ONNX Runtime beside."""
    return bench(
        keep,
        dry=dry,
        targets=(Target.NETWORK,),
        batches=(32, 256, 1),
        backends=(*RUNNERS, Backend.ORT_CUDA),
        precisions=(Precision.FP32, Precision.FP16),
    )


def compiled(keep: Keep, *, dry: bool, target: Target, batches: tuple[int, ...]) -> Rows:
    """A target against torch.compile in both modes, of which the better counts."""
    rows: Rows = []
    for batch, mode in itertools.product(batches[:1] if dry else batches, COMPILE_MODES):
        rows += bench(
            lambda more, before=tuple(rows): keep([*before, *more]),  # type: ignore[misc]
            dry=dry,
            compile_mode=mode,
            targets=(target,),
            batches=(batch,),
            backends=(Backend.EAGER, Backend.COMPILE, Backend.FUSED),
            precisions=(Precision.FP16,),
        )
    return rows


def core_compiled(keep: Keep, *, dry: bool) -> Rows:
    """The core against torch.compile."""
    return compiled(keep, dry=dry, target=Target.CORE, batches=(32, 1, 256))


def network_compiled(keep: Keep, *, dry: bool) -> Rows:
    """The network against torch.compile."""
    return compiled(keep, dry=dry, target=Target.NETWORK, batches=(32,))


def training(keep: Keep, *, dry: bool) -> Rows:
    """A training step."""
    return bench(
        keep,
        dry=dry,
        targets=(Target.TRAIN,),
        batches=(32, 256),
        backends=(Backend.EAGER,),
        precisions=(Precision.FP32, Precision.BF16),
    )


def tensorrt(keep: Keep, *, dry: bool) -> Any:
    """Engines built here, where TensorRT is."""
    from glamor_cli.errors import BackendUnavailable
    from glamor_cli.runtimes.tensorrt_library import Target as Flavour
    from glamor_cli.runtimes.tensorrt_library import load_library

    try:
        load_library(Flavour.TRT)
    except BackendUnavailable as error:
        return {"skipped": error.what}
    return bench(
        keep,
        dry=dry,
        targets=(Target.NETWORK,),
        batches=(32, 1),
        backends=(Backend.EAGER, Backend.TENSORRT),
        precisions=(Precision.FP16,),
    )


def layouts(keep: Keep, *, dry: bool) -> Rows:
    """Layouts of the kernel, for ``choose_launch``."""
    if dry:
        return [{"skipped": "the kernel needs a GPU"}]
    import torch

    from glamor_cli.bench.device_clock import device_clock
    from glamor_cli.bench.torch_backends import AsWritten
    from glamor_cli.network.fused_core import FusedCore, Launch
    from glamor_cli.network.glamor_net import GlamorNet

    network = GlamorNet().eval()
    rows: Rows = []
    for dtype, batch in itertools.product((torch.float16, torch.float32), (32, 256)):
        fused = FusedCore(network, 1.0, dtype).cuda()
        maps = [
            torch.rand(batch, 256, side, side, device="cuda", dtype=dtype).contiguous(
                memory_format=torch.channels_last
            )
            for side in (6, 7)
        ]
        plain = AsWritten(network, 1.0, core=True).cuda()
        with torch.no_grad():
            right = plain(*(values.float() for values in maps))
        bound = 1e-2 if dtype is torch.float16 else 1e-5
        out = fused.allocate(batch, 7, 7)
        half = dtype is torch.float16
        for samples, step, warps, stages in itertools.product(
            (1, 2) if half else (1,), (64, 32) if half else (32, 16), (4, 8), (2, 3, 4)
        ):
            for dot in ("tf32x3",) if half else ("tf32x3", "ieee"):
                layout = Launch(samples, step, warps, stages, dot)
                row = {"batch": batch, "dtype": str(dtype)} | vars(layout)
                try:
                    call = lambda f=fused, m=maps, o=out, c=layout: f(*m, out=o, launch=c)  # noqa: E731
                    for values in out:
                        values.fill_(torch.nan)  # what a layout does not write is found
                    call()
                    found = (out.probabilities, out.attention, out.stream_weights)
                    apart = [(f - r).abs().max() for f, r in zip(found, right, strict=True)]
                    off = float(torch.stack(apart).max())  # unlike max, this keeps NaN
                    if not off < bound:
                        raise ValueError(f"its answers are off by {off}")
                    times = [device_clock(call) for _ in range(20)]
                    row["device_p50_ms"] = float(np.median(times)) * 1e3
                except Exception as error:
                    row["failed"] = f"{type(error).__name__}: {error}"
                rows.append(row)
                keep(rows)
    return rows


PARTS: dict[str, tuple[Callable[..., Any], float]] = {
    part.__name__: (part, seconds)
    for part, seconds in (
        # The first pays for what nobody has imported and compiled on this machine before.
        (launch, 60),
        (core, 95),
        (core_compiled, 135),
        (network, 85),
        (network_compiled, 160),
        # What has never run may be wrong, which matters more than another layout's speed.
        (tests, 120),
        (training, 40),
        (layouts, 150),
        (tensorrt, 200),
    )
}
"""In their order, with the seconds each may take; the first five, the verdict's, fit the budget."""


def run_parts(keep: Keep, *, dry: bool, seconds: float) -> dict[str, Any]:
    """Run every part in its own process, within the seconds for all."""
    began, found = time.monotonic(), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (_, most) in PARTS.items():
            left = min(most, seconds - (time.monotonic() - began))
            if left < _LEAST_SECONDS and not dry:
                found[name] = {"skipped": "no time was left"}
                keep(found)
                continue
            print(f"== {name}, at most {left:.0f} s", file=sys.stderr, flush=True)
            out = Path(folder) / f"{name}.json"
            command = [sys.executable, __file__, "--part", name, "--out", str(out)]
            command += ["--dry-run"] if dry else ["--seconds", str(left)]
            started = time.monotonic()
            problem: str | None = "stopped"
            try:
                problem = run_process(command, None if dry else left)
            finally:
                found[name] = {"seconds": round(time.monotonic() - started, 1)}
                if problem is not None:
                    found[name]["failed"] = problem
                if out.is_file():
                    found[name]["result"] = json.loads(out.read_text(encoding="utf-8"))
                keep(found)
    return found


def run_process(command: list[str], seconds: float | None) -> str | None:
    """Run a command and all that it starts; says what went wrong."""
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return "the time was up"
    finally:
        # Compilers' and tests' own processes would go on, and disturb the next part.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return None if code == 0 else f"exit code {code}"


def main() -> None:
    """Run one part, or all, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=tuple(PARTS), help="only this one")
    parser.add_argument("--out", type=Path, help="the result's file")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, as far as it goes")
    parser.add_argument("--seconds", type=float, default=BUDGET_SECONDS, help="for all of it")
    options = parser.parse_args()
    # So that what was begun is ended, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if options.part is not None:

        def keep(result: Any) -> None:
            if options.out is not None:
                text = json.dumps(result, indent=1, allow_nan=False)
                write_text(options.out, text + "\n")

        part, _ = PARTS[options.part]
        if not options.dry_run:
            # Nobody else ends it where the program that began it was killed.
            signal.alarm(round(options.seconds) + 1)
        timed = {"seconds": options.seconds} if part is tests else {}
        result = part(keep, dry=options.dry_run, **timed)
        keep(result)
        if options.out is None:
            print(json.dumps(result, indent=1))
        # Compilers' helpers are not waited for: the time belongs to the next part.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    environment = describe_environment()
    name = f"gpu-{environment.gpu or 'dry-run'}-torch-{environment.packages['torch']}"
    out = options.out or RESULTS / f"{slug(name)}.json"
    found = run_parts(
        lambda found: write_result(
            out, {**found, "verdict": judge(found)}, environment.to_dict(), allow_nan=False
        ),
        dry=options.dry_run,
        seconds=options.seconds,
    )
    summarise(found)
    print(f"written to {out}")


def summarise(result: dict[str, Any]) -> None:
    """Print a short table: where the result is read through a narrow window, it comes last."""
    for part, found in result.items():
        rows = found.get("result")
        if not isinstance(rows, list):
            print(part, json.dumps(found)[:300])
            continue
        if "failed" in found:
            print(part, found["failed"])
        for row in rows:
            if row.get("device_p50_ms") or row.get("p50_ms"):
                keys = ("batch", "backend", "provider", "precision", "dtype", "samples", "step")
                keys += ("warps", "stages", "dot", "p50_ms", "device_p50_ms", "floor_ratio")
                keys += ("max_abs_diff",)
                figures = [row[key] for key in keys if row.get(key) is not None]
                print(part, *(f"{v:.4g}" if isinstance(v, float) else v for v in figures))
            elif row.get("status", "ok") != "ok" or "failed" in row:
                print(part, row.get("backend", ""), row.get("status") or row.get("failed"))
    for name, finding in judge(result).items():
        print("verdict", name, json.dumps(finding))


if __name__ == "__main__":
    main()
