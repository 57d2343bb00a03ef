"""TensorRT and TensorRT-RTX: an engine on a GPU, on torch's buffers."""

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from glamor_cli.errors import BackendUnavailable, CheckpointError, ConfigError
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES, Output, Runtime, no_memory_left
from glamor_cli.runtimes.options import Device
from glamor_cli.runtimes.rtx_cache import RuntimeCache
from glamor_cli.runtimes.sidecar import Sidecar, read_sidecar, this_platform
from glamor_cli.runtimes.tensorrt_library import Target, load_library, make_logger
from glamor_cli.system.gpus import query_driver

_BACKENDS = {Target.TRT: "tensorrt", Target.RTX: "tensorrt-rtx"}
# Each size keeps buffers, a context and a CUDA graph on the GPU.
_KEPT_SIZES = 8


class TensorRTRuntime(Runtime):
    """An engine that ``glamor export --trt`` built; the temperature is in it.

    A batch larger than the engine's profile is run in pieces; one smaller than the profile's
    smallest is filled up with zeros, whose answers are dropped.

    Args:
        path: The ``.engine`` file, its sidecar beside it.
        device: ``auto`` or ``cuda``; there is no engine on a CPU.

    Raises:
        ConfigError: ``device`` is ``cpu``.
        CheckpointError: The engine or its sidecar is damaged, or of another machine; the message
            says how to build it here.
        BackendUnavailable: No GPU, or the library that built the engine is not installed.
    """

    def __init__(self, path: Path, *, device: str = Device.AUTO) -> None:
        self._sidecar = read_sidecar(path)
        if device == "cpu":
            raise ConfigError(
                "TensorRT engines run on GPUs only",
                "Choose --device cuda, or give the .onnx file to run on the CPU.",
            )
        _require_this_machine(self._sidecar, path)
        self._trt = _require_library(self._sidecar, path)
        _require_gpu(self._sidecar, path)
        self.metadata = self._sidecar.metadata
        self.backend = _BACKENDS[self._sidecar.target]
        self.provider = "cuda"
        self.largest_batch = self._sidecar.batch_max
        self._logger = make_logger(self._trt)
        self._engine = self._load(path)
        self._check_interface(path)
        self._cache = None
        if self._sidecar.target is Target.RTX:
            self._cache = RuntimeCache(self._engine, path)
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._calls: OrderedDict[int, _Call] = OrderedDict()
        self._turn = Lock()

    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        # A call's buffers are written again by the next one, another thread's too.
        with self._turn:
            return self._answer(face, context)

    def _answer(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        count = len(face)
        call = self._call(self._sidecar.fit_batch(count))
        with torch.cuda.stream(self._stream):
            for name, values in zip(INPUT_NAMES, (face, context), strict=True):
                source = torch.from_numpy(np.require(values, requirements=["C", "W"]))
                call.tensors[name][:count].copy_(source)
                call.tensors[name][count:].zero_()
            call.launch()
            answers = [call.tensors[name][:count].cpu().numpy() for name in OUTPUT_NAMES]
        return Output(*answers)

    def _load(self, path: Path) -> Any:
        try:
            runtime = self._trt.Runtime(self._logger)
        except TypeError as error:  # how the bindings say that the factory gave nothing
            raise BackendUnavailable(
                f"TensorRT's runtime does not start: {self._logger.problems()}",
                "Check the driver with glamor doctor.",
            ) from error
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise CheckpointError(
                f"{path} does not load: {self._logger.problems()}",
                self._sidecar.rebuild_remedy(path),
            )
        return engine

    def _check_interface(self, path: Path) -> None:
        """Check the engine's names, types, directions and profile against what is expected."""
        trt, engine, sidecar = self._trt, self._engine, self._sidecar
        found = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
            found[name] = (is_input, engine.get_tensor_dtype(name) == trt.float32)
        expected = {name: (name in INPUT_NAMES, True) for name in (*INPUT_NAMES, *OUTPUT_NAMES)}
        if found != expected:
            raise CheckpointError(
                f"{path} has the inputs and outputs {', '.join(sorted(found))}, or not in float32",
                sidecar.rebuild_remedy(path),
            )
        for name in INPUT_NAMES:
            batches = tuple(size for size, *_ in engine.get_tensor_profile_shape(name, 0))
            if batches != (sidecar.batch_min, sidecar.batch_opt, sidecar.batch_max):
                raise CheckpointError(
                    f"{path} takes batches of {batches} as {name}, but its sidecar says otherwise",
                    sidecar.rebuild_remedy(path),
                )

    def _call(self, size: int) -> "_Call":
        """Prepare a batch size once; the least recently used sizes are let go."""
        if size not in self._calls:
            while len(self._calls) >= _KEPT_SIZES:
                self._calls.popitem(last=False)
            self._calls[size] = self._prepare(size)
        self._calls.move_to_end(size)
        return self._calls[size]

    def _prepare(self, size: int) -> "_Call":
        """Allocate, run once, and capture a CUDA graph.

        A graph keeps its context's shapes and addresses, so each size has a context of its own.
        """
        context = self._make_context()
        tensors: dict[str, torch.Tensor] = {}
        for name in INPUT_NAMES:
            shape = (size, *tuple(self._engine.get_tensor_shape(name))[1:])
            self._require(context.set_input_shape(name, shape), f"refuses {name} {shape}")
        missing = context.infer_shapes()
        self._require(not missing, f"cannot infer the shapes of {missing}")
        for name in (*INPUT_NAMES, *OUTPUT_NAMES):
            shape = tuple(context.get_tensor_shape(name))
            tensors[name] = self._allocate(shape)
            address = tensors[name].data_ptr()
            self._require(context.set_tensor_address(name, address), f"refuses {name}'s buffer")
        # The zeros were written on the default stream.
        torch.cuda.current_stream().synchronize()
        call = _Call(self, context, tensors)
        call.enqueue()
        self._stream.synchronize()
        if self._cache is None:
            call.capture()
        else:
            # RTX captures by itself, and may compile again after its first run.
            self._cache.save()
        return call

    def _make_context(self) -> Any:
        if self._cache is None:
            context = self._engine.create_execution_context()
        else:
            options = self._engine.create_runtime_config()
            self._require(options is not None, "gives no runtime configuration")
            options.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            self._cache.attach(options)
            context = self._engine.create_execution_context(options)
        self._require(context is not None, "gives no execution context")
        return context

    def _allocate(self, shape: tuple[int, ...]) -> torch.Tensor:
        try:
            return torch.zeros(shape, dtype=torch.float32, device="cuda")
        except torch.OutOfMemoryError as error:
            raise no_memory_left(shape[0]) from error

    def _require(self, answer: bool, what: str) -> None:
        """Raise where TensorRT reports a failure."""
        if not answer:
            raise BackendUnavailable(
                f"TensorRT {what}: {self._logger.problems()}",
                "Free memory on the GPU, or run the .onnx file instead.",
            )


@dataclass(eq=False)
class _Call:
    """One batch size, ready to launch: its context, its buffers and, with TensorRT, its graph."""

    runtime: TensorRTRuntime
    context: Any
    tensors: dict[str, torch.Tensor]
    graph: torch.cuda.CUDAGraph | None = None

    def enqueue(self) -> None:
        """Run on the runtime's stream."""
        stream = self.runtime._stream
        answer = self.context.execute_async_v3(stream.cuda_stream)
        self.runtime._require(answer, "does not run")

    def capture(self) -> None:
        """Record one run, to be replayed as one launch."""
        graph = torch.cuda.CUDAGraph()
        stream, mode = self.runtime._stream, "thread_local"
        with torch.cuda.graph(graph, stream=stream, capture_error_mode=mode):
            self.enqueue()
        self.graph = graph

    def launch(self) -> None:
        """Run the recorded graph where there is one."""
        if self.graph is not None:
            self.graph.replay()
        else:
            self.enqueue()


def _require_this_machine(sidecar: Sidecar, path: Path) -> None:
    if sidecar.platform != this_platform():
        raise CheckpointError(
            f"{path} was built for {sidecar.platform}, but this is {this_platform()}",
            sidecar.rebuild_remedy(path),
        )


def _require_library(sidecar: Sidecar, path: Path) -> Any:
    target, trt = load_library(sidecar.target)
    if trt.__version__ != sidecar.version:
        raise CheckpointError(
            f"{path} was built by {_BACKENDS[target]} {sidecar.version}, "
            f"but {trt.__version__} is installed",
            sidecar.rebuild_remedy(path),
        )
    return trt


def _require_gpu(sidecar: Sidecar, path: Path) -> None:
    driver = query_driver()
    if not driver.gpus or not torch.cuda.is_available():
        raise BackendUnavailable(
            f"{path} cannot run here: {driver.problem or 'torch was built without CUDA'}",
            "TensorRT needs an NVIDIA GPU; give the .onnx file to run on the CPU.",
        )
    sidecar.require_architecture(path, driver.gpus[0])
