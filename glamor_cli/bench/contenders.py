"""Who takes part in a measurement: calls that do the same work on different backends."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import torch

from glamor_cli.bench.config import Backend, BenchConfig
from glamor_cli.cpus import available_cpus
from glamor_cli.errors import ConfigError
from glamor_cli.export.config import DEFAULT_OPSET
from glamor_cli.export.graph import build_graph, describe
from glamor_cli.export.pairs import Pairs, random_pairs
from glamor_cli.runtimes.base import Output
from glamor_cli.runtimes.torch import choose_device
from glamor_cli.weights import find_weights, load_network


@dataclass(frozen=True)
class Contender:
    """One backend's way to do a target's work.

    Attributes:
        backend: Who computes.
        provider: What truly runs it.
        precision: In what numbers.
        device: ``cpu`` or ``cuda``.
        run: Does the work once, and returns when it is done.
        answer: Turns what ``run`` returned into an output to compare; None where there is none.
    """

    backend: Backend
    provider: str
    precision: str
    device: str
    run: Callable[[], object]
    answer: Callable[[object], Output | None]


@dataclass(frozen=True)
class Absent:
    """A backend that cannot take part.

    Attributes:
        backend: Which.
        precision: In what numbers it would have computed; empty where that is not known.
        reason: One line.
    """

    backend: Backend
    precision: str
    reason: str


Entry = Contender | Absent


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
        backends: Who computes.

    Raises:
        ConfigError: No such weights, or not a ``.safetensors`` file.
        CheckpointError: The weights are damaged or foreign.
        BackendUnavailable: CUDA was asked for and is not here.
    """

    def __init__(self, config: BenchConfig, folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.weights = find_weights(config.weights)
        if self.weights.suffix != ".safetensors":
            raise ConfigError(
                f"{self.weights} is an exported file, and torch is what others are compared with",
                "Give --weights a name or a .safetensors file, and exported files with --export.",
            )
        self.network, self.metadata = load_network(self.weights)
        self.device = choose_device(config.device)
        self.threads = config.threads or available_cpus()
        torch.set_num_threads(self.threads)
        default = [Backend.EAGER, Backend.ORT]
        if self.device == "cuda":
            # On two cores compiling takes longer than all the measuring.
            default.insert(1, Backend.COMPILE)
        self.backends = config.backends or tuple(default)

    @cached_property
    def onnx_file(self) -> Path:
        """The weights' own ONNX file, or where there is none, one exported now."""
        shipped = self.weights.with_suffix(".onnx")
        if shipped.is_file():
            return shipped
        model = build_graph(self.network, self.metadata, opset=DEFAULT_OPSET)
        describe(model, self.metadata, {"precision": "fp32"})
        path = self.folder / "network.onnx"
        onnx.save(model, path)
        return path

    def pairs(self, batch: int) -> Pairs:
        """Random pairs, the same for every backend."""
        return random_pairs(batch)
