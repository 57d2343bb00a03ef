"""The whole network, as runtimes give it: NumPy pairs in, NumPy answers out."""

import json
from collections.abc import Iterator
from pathlib import Path

import onnx

from glamor_cli.bench.config import Backend
from glamor_cli.bench.contenders import Absent, Contender, Entry, Setup
from glamor_cli.errors import GlamorError
from glamor_cli.export.graph import EXPORT_KEY
from glamor_cli.runtimes.base import Output, Runtime, open_runtime
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.runtimes.torch import TorchRuntime


def network_contenders(setup: Setup, batch: int) -> Iterator[Entry]:
    """Line up the backends, and the exported files, on random pairs."""
    pairs = setup.pairs(batch)
    for backend, precision, runtime in open_runtimes(setup):
        if isinstance(runtime, str):
            yield Absent(backend, precision, runtime)
            continue
        # The size itself is what is measured, so it must not be cut up.
        runtime.largest_batch = max(runtime.largest_batch, batch)
        yield Contender(
            backend,
            runtime.provider,
            precision,
            runtime.device,
            lambda runtime=runtime: runtime(pairs.face, pairs.context),  # type: ignore[misc]
            as_output,
        )


def open_runtimes(setup: Setup) -> Iterator[tuple[Backend, str, Runtime | str]]:
    """Open every backend and exported file: backend, precision, and the runtime or why not."""
    for backend in setup.backends:
        yield backend, "fp32", _try(setup, backend)
        if backend is Backend.EAGER and setup.device == "cuda":
            yield backend, "fp16", TorchRuntime(setup.weights, device="cuda", half=True)
    for path in setup.config.exports:
        try:
            runtime: Runtime | str = open_runtime(path, device=setup.device, threads=setup.threads)
        except GlamorError as error:
            runtime = error.what
        yield _backend_of(path), precision_of(path), runtime


def as_output(answer: object) -> Output:
    """What a runtime returned."""
    assert isinstance(answer, Output)  # noqa: S101 - what run returned
    return answer


def precision_of(path: Path) -> str:
    """Read from an exported file, or an engine's sidecar, in what numbers it computes."""
    if path.suffix == ".onnx" and path.is_file():
        try:
            model = onnx.load(path)
        except Exception:
            # Protobuf's exceptions share no base; opening it will say what is wrong.
            return "unknown"
        for entry in model.metadata_props:
            if entry.key == EXPORT_KEY:
                return str(json.loads(entry.value).get("precision", "unknown"))
    sidecar = path.with_suffix(path.suffix + ".json")
    if sidecar.is_file():
        return str(json.loads(sidecar.read_text(encoding="utf-8")).get("precision", "unknown"))
    return "unknown"


def _try(setup: Setup, backend: Backend) -> Runtime | str:
    try:
        if backend in (Backend.EAGER, Backend.COMPILE):
            runtime = TorchRuntime(setup.weights, device=setup.device, threads=setup.threads)
            if backend is Backend.COMPILE:
                runtime.compile()
            return runtime
        if backend is Backend.ORT:
            return OnnxRuntime(setup.onnx_file, device=setup.device, threads=setup.threads)
    except GlamorError as error:
        return error.what
    return f"give a file for {backend} with --export"


def _backend_of(path: Path) -> Backend:
    return Backend.TENSORRT if path.suffix == ".engine" else Backend.ORT
