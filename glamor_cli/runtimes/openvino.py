"""OpenVINO: exported networks on Intel's and AMD's CPUs, in bfloat16 where the CPU has it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import CheckpointError, ConfigError, is_lack_of_memory, no_memory_to
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES, Output, Runtime
from glamor_cli.runtimes.options import Arithmetic, Device
from glamor_cli.settings import require_positive
from glamor_cli.system.extras import importing, install_extra

_OWN_AFTER = 256
"""So many pairs in batches of one size take about as long as compiling the graph for that size."""
_KEPT_SIZES = 8
"""Each keeps buffers and its own form of the weights."""


class OpenVINORuntime(Runtime):
    """A network exported by ``glamor export``; the temperature is in the graph.

    Where the CPU multiplies bfloat16 matrices itself (AMX, AVX512-BF16) OpenVINO computes in it,
    several times as fast and by about 1e-2 less exact; elsewhere in float32. ``provider`` tells
    which: ``CPU bf16`` or ``CPU f32``.

    A graph for batches of any size is slower than one for a single size, on CPUs with AMX by 1.2 to
    1.3 times. So batch sizes that are asked about often get a graph of their own.

    Args:
        path: The ``.onnx`` file.
        device: ``auto`` or ``cpu``.
        threads: CPU threads; None leaves it to OpenVINO.

    Raises:
        ConfigError: ``device`` is ``cuda``, or the number of threads is not positive.
        CheckpointError: The file is damaged, or not a network that glamor exported.
        BackendUnavailable: OpenVINO is not installed or does not load, or memory does not suffice.
    """

    backend = "openvino"

    def __init__(
        self, path: Path, *, device: str = Device.AUTO, threads: int | None = None
    ) -> None:
        if device == "cuda":
            raise ConfigError("OpenVINO does not run on CUDA", "Choose --device cpu or auto.")
        options: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            require_positive(threads, "the number of threads", "--threads")
            options["INFERENCE_NUM_THREADS"] = threads
        openvino = load_openvino()
        exported = read_exported(path)
        exported.require_network()
        self.metadata = exported.metadata
        core = openvino.Core()
        half = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        options["INFERENCE_PRECISION_HINT"] = "bf16" if half else "f32"
        self._compile: Callable[[Any], Any] = lambda graph: core.compile_model(
            graph, "CPU", options
        )
        try:
            self._graph = core.read_model(path)
            compiled = self._compile(self._graph)
        except Exception as error:
            if is_lack_of_memory(error):
                raise no_memory_to(f"open {path}") from error
            raise CheckpointError(
                f"OpenVINO cannot read {path} ({_last_line(error)})",
                "The file is damaged or of another kind; export it anew.",
            ) from error
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        # What it says it does, not what it was asked.
        self.provider = f"CPU {used.to_string() if hasattr(used, 'to_string') else used}"
        if "bf16" in self.provider:
            self.arithmetic = Arithmetic.BFLOAT16
        self._of_any_size = compiled.create_infer_request()
        self._of_size: dict[int, Any] = {}
        self._pairs_of_size: Counter[int] = Counter()
        self._turn = Lock()

    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        feeds = {
            name: np.ascontiguousarray(values)
            for name, values in zip(INPUT_NAMES, (face, context), strict=True)
        }
        # A request's own memory is written again by the next call, another thread's too.
        with self._turn:
            request = self._of_size.get(len(face), self._of_any_size)
            request.infer(feeds, share_inputs=True)
            answer = Output(*(np.array(request.get_tensor(name).data) for name in OUTPUT_NAMES))
            self._count(feeds)
        return answer

    def _count(self, feeds: dict[str, NDArray[np.float32]]) -> None:
        """Note an answered batch, and compile the graph for its size once that is worth it."""
        size = len(feeds[INPUT_NAMES[0]])
        if size in self._of_size or len(self._of_size) == _KEPT_SIZES:
            return
        self._pairs_of_size[size] += size
        if self._pairs_of_size[size] < _OWN_AFTER:
            return
        # Where compiling fails, as for want of memory, the size goes on as it was.
        self._of_size[size] = self._of_any_size
        with suppress(Exception):
            graph = self._graph.clone()
            graph.reshape({name: list(values.shape) for name, values in feeds.items()})
            self._of_size[size] = self._compile(graph).create_infer_request()


def load_openvino() -> Any:
    """Import OpenVINO.

    Raises:
        BackendUnavailable: It is not installed or does not load.
    """
    missing, remedy = "OpenVINO is not installed", install_extra("openvino")
    with importing("openvino", missing, remedy), _unreported():
        import openvino
    return openvino


@contextmanager
def _unreported() -> Iterator[None]:
    """Hide the module that reports OpenVINO's import to its makers; OpenVINO works without it."""
    name = "openvino_telemetry"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
