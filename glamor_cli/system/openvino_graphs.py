"""ONNX graphs on Intel's and AMD's CPUs through OpenVINO, in bfloat16 where the CPU has it."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import ConfigError
from glamor_cli.files.utf8_paths import utf8_path
from glamor_cli.settings import require_positive
from glamor_cli.system.extras import importing, install_extra

_KEPT_SHAPES = 8
"""Each keeps buffers and its own form of the weights."""
_KEPT_PRIMITIVES = 300
"""Compiled layers that a graph of any shape keeps, enough for a handful of shapes. OpenVINO's own
number is for thousands: photographs of ever new shapes then take ever more memory."""


class OpenVINOGraph:
    """A graph whose inputs may have any shape that it allows; threads may share it, not processes.

    A graph for any shape is slower than one for a single shape, on CPUs with AMX by 1.2 to 1.6
    times. So shapes that are asked about often get a graph of their own.

    Args:
        model: The file, or its bytes.
        threads: CPU threads; None leaves it to OpenVINO.
        own_after: When the calls of one shape have weighed so much, compiling a graph for it, which
            takes some tenths of a second, is worth it.

    Raises:
        ConfigError: The number of threads is not positive.
        BackendUnavailable: OpenVINO is not installed or does not load.
        Exception: OpenVINO's own, where it cannot read the graph or memory does not suffice.
    """

    precision: str
    """``bf16`` or ``f32``: what it says it computes in, not what it was asked for."""

    def __init__(self, model: Path | bytes, *, threads: int | None, own_after: int) -> None:
        require_positive(threads, "the number of threads", "--threads")
        openvino = load_openvino()
        self._tensor, self._core = openvino.Tensor, openvino.Core()
        half = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._options: dict[str, str | int] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_PRIMITIVES,
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        # Version 2025.0 takes no name but in UTF-8.
        readable = utf8_path(model) if isinstance(model, Path) else nullcontext(model)
        with readable as source:
            self._graph = self._core.read_model(source)
        compiled = self._compile(self._graph)
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
        self.precision = used.to_string() if hasattr(used, "to_string") else str(used)
        self._of_any_shape = compiled.create_infer_request()
        self._own_after = own_after
        self._of_shape: dict[tuple[tuple[int, ...], ...], Any] = {}
        self._weighed: Counter[tuple[tuple[int, ...], ...]] = Counter()
        self._turn = Lock()
        self._process = os.getpid()

    def __call__(
        self, feeds: Mapping[str, NDArray[np.float32]], names: Sequence[str], weight: int = 1
    ) -> list[NDArray[np.float32]]:
        """Compute outputs.

        Args:
            feeds: The inputs by name.
            names: Which outputs.
            weight: What this call counts towards a graph for its shapes.

        Raises:
            ConfigError: The process was forked since the graph was opened.
        """
        if self._process != os.getpid():
            # OpenVINO's threads are not here, and a request would wait for them for ever.
            raise ConfigError(
                "a network was opened in OpenVINO before the process was forked",
                "Open it, as with open_predictor, in each process after the fork.",
            )
        # OpenVINO shares no memory that is read-only.
        feeds = {
            name: np.require(values, requirements=["C", "W"]) for name, values in feeds.items()
        }
        shapes = tuple(values.shape for values in feeds.values())
        # A request's own memory is written again by the next call, another thread's too.
        with self._turn:
            request = self._of_shape.get(shapes, self._of_any_shape)
            # Handed over as a dictionary the same inputs take some 50 microseconds longer.
            for name, values in feeds.items():
                request.set_tensor(name, self._tensor(values, shared_memory=True))
            request.infer()
            outputs = [np.array(request.get_tensor(name).data) for name in names]
            self._count(dict(zip(feeds, shapes, strict=True)), weight)
        return outputs

    def _count(self, shapes: dict[str, tuple[int, ...]], weight: int) -> None:
        """Note an answered call, and compile the graph for its shapes once that is worth it."""
        key = tuple(shapes.values())
        if key in self._of_shape or len(self._of_shape) == _KEPT_SHAPES:
            return
        self._weighed[key] += weight
        if self._weighed[key] < self._own_after:
            return
        # Where compiling fails, as for want of memory, the shapes go on as they were.
        self._of_shape[key] = self._of_any_shape
        with suppress(Exception):
            graph = self._graph.clone()
            graph.reshape({name: list(shape) for name, shape in shapes.items()})
            self._of_shape[key] = self._compile(graph).create_infer_request()

    def _compile(self, graph: Any) -> Any:
        return self._core.compile_model(graph, "CPU", self._options)


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
