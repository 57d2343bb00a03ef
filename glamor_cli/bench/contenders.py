"""Who takes part in a measurement: calls that do the same work on different backends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx
import torch

from glamor_cli.bench.floor import Work
from glamor_cli.bench.options import (
    DEFAULT_BACKENDS,
    DEFAULT_COMPILE_MODES,
    DEFAULT_PRECISIONS,
    Backend,
    BenchConfig,
    Precision,
)
from glamor_cli.errors import ConfigError, GlamorError, reason_of
from glamor_cli.export.graph import build_graph, describe
from glamor_cli.export.options import DEFAULT_OPSET
from glamor_cli.runtimes.interface import Output
from glamor_cli.runtimes.torch import choose_device
from glamor_cli.system.cpus import available_cpus
from glamor_cli.system.extras import heed_interrupt
from glamor_cli.weights.network_file import load_network
from glamor_cli.weights.registry import find_weights, is_registered


@dataclass(frozen=True, eq=False)
class Contender:
    """One backend's way to do a target's work.

    Attributes:
        backend: Who computes.
        provider: What truly runs it.
        precision: In what numbers.
        device: ``cpu`` or ``cuda``.
        run: Does the work once, and returns when it is done.
        answer: Turns what ``run`` returned into an output to compare; None where there is none.
        device_run: Does the work once on inputs that are on the GPU already, and returns before it
            is done; None where there is no such call.
        work: What a call cannot do without; None where it is not counted.
        export: The exported file that was given to be measured, where it is one.
    """

    backend: Backend
    provider: str
    precision: str
    device: str
    run: Callable[[], object]
    answer: Callable[[object], Output | None] = field(default=lambda _: None)
    device_run: Callable[[], object] | None = None
    work: Work | None = None
    export: Path | None = None


@dataclass(frozen=True)
class Absent:
    """A backend that cannot take part.

    Attributes:
        backend: Which.
        precision: In what numbers it would have computed; empty where that is not known.
        reason: One line.
        export: The exported file that was given to be measured, where it is one.
    """

    backend: Backend
    precision: str
    reason: str
    export: Path | None = None


Entry = Contender | Absent


def reason(error: Exception) -> str:
    """Say in one line why a backend cannot take part or why it failed.

    Raises:
        KeyboardInterrupt: It failed because it was interrupted.
    """
    heed_interrupt(error)
    if isinstance(error, GlamorError):
        return error.what
    kind, said = type(error).__name__, reason_of(error)
    return f"failed: {kind}" if said == kind else f"failed: {kind}: {said}"


@dataclass(frozen=True, eq=False)
class LineUp:
    """Who takes part, and what is right.

    Attributes:
        entries: All backends.
        reference: What answers are compared with; None where none are.
    """

    entries: tuple[Entry, ...]
    reference: Output | None = None


class Setup:
    """What all targets of a benchmark share.

    Attributes:
        config: What to measure.
        folder: For files that the benchmark itself makes.
        weights: The ``.safetensors`` file.
        network: Its network: float32, evaluation mode, on the CPU.
        metadata: What the weights say of themselves.
        device: ``cpu`` or ``cuda``.
        threads: CPU threads of every backend.
        compile_mode: Of ``torch.compile``.

    Raises:
        ConfigError: No such weights or exported file, weights that are no ``.safetensors`` file,
            an export that is one, or a mode of ``torch.compile`` where that is not measured.
        CheckpointError: The weights are damaged or foreign.
        BackendUnavailable: CUDA was asked for and is not here.
    """

    def __init__(self, config: BenchConfig, folder: Path) -> None:
        for path in config.exports:
            # Before anything is measured.
            file = find_weights(path, suffix=".onnx", kinds=(".onnx", ".engine"))
            if file.suffix == ".safetensors":
                raise ConfigError(
                    f"{file} is not an exported file",
                    "Give --export an .onnx or .engine file, as glamor export writes them.",
                )
        self.config = config
        self.folder = folder
        self.weights = find_weights(config.weights, kinds=(".safetensors",))
        if self.weights.suffix != ".safetensors":
            raise ConfigError(
                f"{self.weights} is an exported file, and torch, the reference, cannot run it",
                "Give --weights a name or a .safetensors file, and exported files with --export.",
            )
        self.network, self.metadata = load_network(self.weights)
        self.device = choose_device(config.device)
        self.threads = config.threads or available_cpus()
        torch.set_num_threads(self.threads)
        self.backends = config.backends or DEFAULT_BACKENDS[self.device]
        if config.compile_mode is not None and Backend.COMPILE not in self.backends:
            raise ConfigError(
                f"--compile-mode is only for the backend {Backend.COMPILE}",
                "Add it to --backends, or leave --compile-mode out.",
            )
        self.precisions = config.precisions or DEFAULT_PRECISIONS[self.device]
        self.compile_mode = config.compile_mode or DEFAULT_COMPILE_MODES[self.device]

    def each(self) -> Iterator[tuple[Backend, Precision]]:
        """Every backend in every precision; OpenVINO, which chooses by itself, once."""
        for backend in self.backends:
            for precision in self.precisions:
                yield backend, precision
                if backend is Backend.OPENVINO:
                    break

    @cached_property
    def onnx_file(self) -> Path:
        """The ONNX file that is shipped with the weights; of others, one exported now."""
        shipped = self.weights.with_suffix(".onnx")
        # A file beside weights of one's own may be of others, or in another precision.
        return shipped if is_registered(shipped) else self.exported(Precision.FP32)

    def exported(self, precision: Precision) -> Path:
        """An ONNX file of the weights, in FP32 or FP16, exported for this benchmark."""
        path = self.folder / f"network-{precision}.onnx"
        if not path.is_file():
            half = precision is Precision.FP16
            model = build_graph(self.network.cpu(), self.metadata, opset=DEFAULT_OPSET, half=half)
            describe(model, self.metadata, {"precision": str(precision)})
            onnx.save(model, path)
        return path
