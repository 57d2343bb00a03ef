"""The whole network, as runtimes give it: NumPy pairs in, NumPy answers out."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from glamor_cli.bench.contenders import Absent, Contender, Entry, LineUp, Setup, reason
from glamor_cli.bench.core import torch_problem
from glamor_cli.bench.floor import DTYPES, Work, count_work
from glamor_cli.bench.options import Backend, Precision
from glamor_cli.bench.torch_backends import (
    TORCH_BACKENDS,
    AsWritten,
    TorchBackendRuntime,
    make_call,
    output_of_tensors,
    read_in_place,
)
from glamor_cli.errors import ConfigError, GlamorError
from glamor_cli.export.options import BatchRange
from glamor_cli.export.pairs import Pairs, random_pairs
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.runtimes.onnx import OnnxRuntime, require_cuda
from glamor_cli.runtimes.openvino import OpenVINORuntime
from glamor_cli.runtimes.options import TorchPrecision
from glamor_cli.runtimes.sidecar import read_sidecar
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.weights.registry import find_weights

_UNKNOWN = "unknown"


def network_line_up(setup: Setup, batch: int) -> LineUp:
    """Line up the backends, and the exported files, on random pairs."""
    pairs = random_pairs(batch)
    tensors = torch.from_numpy(pairs.face), torch.from_numpy(pairs.context)
    module = AsWritten(setup.network.cpu(), setup.metadata.temperature).eval()
    with torch.inference_mode():
        reference = output_of_tensors(module(*tensors))
    entries: list[Entry] = []
    for opened in open_runtimes(setup, batch):
        if isinstance(opened, Absent):
            entries.append(opened)
            continue
        backend, precision, runtime, export = opened
        # The size itself is what is measured, so it must not be cut up.
        runtime.largest_batch = max(runtime.largest_batch, batch)
        itemsize = 2 if precision in (Precision.FP16, Precision.BF16) else 4
        try:
            device_run = _device_run(backend, runtime, pairs)
        except Exception as error:
            # Recording is the driver's to refuse.
            entries.append(Absent(backend, precision, reason(error), export))
            continue
        is_network = runtime.metadata.network == setup.metadata.network
        entries.append(
            Contender(
                backend,
                _provider(setup, backend, runtime),
                precision,
                runtime.device,
                run=lambda runtime=runtime: runtime(pairs.face, pairs.context),  # type: ignore[misc]
                answer=_output_of_runtime,
                device_run=device_run,
                work=_count(module, batch, itemsize) if is_network else None,
                export=export,
            )
        )
    return LineUp(tuple(entries), reference)


class Opened(NamedTuple):
    """A backend that is ready to answer pairs.

    Attributes:
        backend: Which.
        precision: In what numbers it computes.
        runtime: Answers.
        export: The exported file that was given to be measured, where it is one.
    """

    backend: Backend
    precision: str
    runtime: Runtime
    export: Path | None = None


def open_runtimes(setup: Setup, batch: int) -> Iterator[Opened | Absent]:
    """Open every backend and exported file."""
    for backend, precision in setup.each():
        try:
            runtime = _open(setup, backend, precision, batch)
        except Exception as error:
            # Compilers and drivers raise whatever they like; the others still take part.
            yield Absent(backend, precision, reason(error))
            continue
        used: str = precision
        if isinstance(runtime, OpenVINORuntime):
            used = Precision.BF16 if "bf16" in runtime.provider else Precision.FP32
        yield Opened(backend, used, runtime)
    for path in setup.config.exports:
        file = find_weights(path, suffix=".onnx")
        engine = Backend.TENSORRT if file.suffix == ".engine" else Backend.ORT
        try:
            runtime = open_runtime(file, device=setup.device, threads=setup.threads)
        except Exception as error:
            yield Absent(engine, precision_of(file), reason(error), path)
            continue
        yield Opened(engine, precision_of(file), runtime, path)


def precision_of(path: Path) -> str:
    """Read from an exported file, or an engine's sidecar, in what numbers it computes."""
    try:
        read = read_sidecar if path.suffix == ".engine" else read_exported
        return str(read(path).precision) or _UNKNOWN
    except (GlamorError, OSError):
        # Opening it will say what is wrong.
        return _UNKNOWN


def _open(setup: Setup, backend: Backend, precision: Precision, batch: int) -> Runtime:
    """Open a backend.

    Raises:
        GlamorError: It cannot take part; the first line says why.
    """
    if backend in (*TORCH_BACKENDS, Backend.FUSED):
        problem = torch_problem(backend, precision, setup.device)
        if problem is not None:
            raise ConfigError(problem, "Leave it out.")
        if backend is Backend.FUSED:
            return TorchRuntime(
                setup.weights,
                device=setup.device,
                threads=setup.threads,
                precision=TorchPrecision(precision),
            )
        module = AsWritten(setup.network.cpu(), setup.metadata.temperature).eval()
        module = module.to(setup.device, DTYPES[precision])
        call = make_call(backend, module, setup.compile_mode)
        return TorchBackendRuntime(call, setup.metadata, setup.device)
    if backend in (Backend.ORT, Backend.ORT_CUDA):
        device = "cuda" if backend is Backend.ORT_CUDA else "cpu"
        if device == "cuda":
            require_cuda()  # before an export that nothing would run
        return OnnxRuntime(_graph(setup, precision), device=device, threads=setup.threads)
    if backend is Backend.OPENVINO:
        return OpenVINORuntime(setup.onnx_file, device="cpu", threads=setup.threads)
    return _engine(setup, precision, batch)


def _graph(setup: Setup, precision: Precision) -> Path:
    if precision is Precision.FP32:
        return setup.onnx_file
    if precision is Precision.FP16:
        return setup.exported(precision)
    raise ConfigError(
        f"bench does not export in {precision} (an exported file can be given with --export)",
        f"Make the file with glamor export --precision {precision}.",
    )


def _engine(setup: Setup, precision: Precision, batch: int) -> Runtime:
    """Build an engine for the batch, where TensorRT and a GPU are here."""
    from glamor_cli.export.tensorrt_build import EngineConfig, build_engine
    from glamor_cli.runtimes.tensorrt import TensorRTRuntime

    if setup.device != "cuda":
        raise ConfigError(
            "engines need a GPU (an engine can be given with --export)", "Choose --device cuda."
        )
    path = setup.folder / f"network-{precision}-{batch}.engine"
    if not path.is_file():
        # Not the shipped file: its weights may be stored in halves.
        source = (
            setup.exported(precision) if precision is Precision.FP32 else _graph(setup, precision)
        )
        try:
            build_engine(source, path, EngineConfig(batch=BatchRange(batch, batch, batch)))
        except GlamorError as error:
            raise ConfigError(
                f"{error.what} (an engine can be given with --export)", error.remedy
            ) from error
    return TensorRTRuntime(path)


def _output_of_runtime(answer: object) -> Output:
    assert isinstance(answer, Output)  # noqa: S101 - what run returned
    return answer


def _device_run(backend: Backend, runtime: Runtime, pairs: Pairs) -> Callable[[], object] | None:
    """A call of the GPU alone, where a runtime lets us at it."""
    if runtime.device != "cuda" or not isinstance(runtime, TorchRuntime | TorchBackendRuntime):
        return None
    face, context = (torch.from_numpy(v).cuda() for v in (pairs.face, pairs.context))
    if backend is Backend.COMPILE:
        read_in_place(face, context)
    return runtime.on_device(face, context)


def _count(module: AsWritten, batch: int, itemsize: int) -> Work:
    face, context = (torch.zeros(1, 3, size, size) for size in (FACE_SIZE, CONTEXT_SIZE))
    one = count_work(module, face, context, itemsize=itemsize)
    weights = sum(value.numel() for value in module.parameters()) * itemsize
    return Work(weights + batch * (one.bytes - weights), batch * one.operations)


def _provider(setup: Setup, backend: Backend, runtime: Runtime) -> str:
    """What truly runs it."""
    if backend is Backend.COMPILE:
        return setup.compile_mode
    if isinstance(runtime, TorchRuntime) and runtime.device == "cuda":
        # What of it is fused, and why not the rest.
        return runtime.core.splitlines()[0]
    return runtime.provider
