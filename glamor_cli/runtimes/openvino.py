"""OpenVINO: exported networks on Intel's and AMD's CPUs, in bfloat16 where the CPU has it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import (
    CheckpointError,
    ConfigError,
    GlamorError,
    is_lack_of_memory,
    no_memory_to,
)
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES, Output, Runtime
from glamor_cli.runtimes.options import Arithmetic, Device
from glamor_cli.system.openvino_graphs import OpenVINOGraph

_OWN_AFTER = 256
"""So many pairs in batches of one size take about as long as compiling the graph for that size."""


class OpenVINORuntime(Runtime):
    """A network exported by ``glamor export``; the temperature is in the graph.

    Where the CPU multiplies bfloat16 matrices itself (AMX, AVX512-BF16) OpenVINO computes in it,
    several times as fast and by about 1e-2 less exact; elsewhere in float32. ``provider`` tells
    which: ``CPU bf16`` or ``CPU f32``.

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
        exported = read_exported(path)
        exported.require_network()
        self.metadata = exported.metadata
        try:
            self._graph = OpenVINOGraph(path, threads=threads, own_after=_OWN_AFTER)
        except GlamorError:
            raise
        except Exception as error:
            if is_lack_of_memory(error):
                raise no_memory_to(f"open {path}") from error
            raise CheckpointError(
                f"OpenVINO cannot read {path} ({_last_line(error)})",
                "The file is damaged or of another kind; export it again.",
            ) from error
        self.provider = f"CPU {self._graph.precision}"
        if self._graph.precision == "bf16":
            self.arithmetic = Arithmetic.BFLOAT16

    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        feeds = dict(zip(INPUT_NAMES, (face, context), strict=True))
        return Output(*self._graph(feeds, OUTPUT_NAMES, weight=len(face)))


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
