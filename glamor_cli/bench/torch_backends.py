"""Torch's ways to run a module of two inputs: as it is, compiled, recorded."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glamor_cli.bench.options import Backend
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.inference import Answer
from glamor_cli.runtimes.cuda_graphs import PairCall, Recording
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.weights.metadata import Metadata

_GRAPH_MODES = ("reduce-overhead", "max-autotune")
"""Modes of ``torch.compile`` that record CUDA graphs."""
TORCH_BACKENDS = (Backend.EAGER, Backend.COMPILE, Backend.CUDAGRAPH)


class AsWritten(nn.Module):
    """A network as it is written, with the softmax: what everybody would run.

    Args:
        network: In evaluation mode.
        temperature: Logits are divided by it.
        core: Begin at the encoders' feature maps instead of the images.
    """

    def __init__(self, network: GlamorNet, temperature: float, *, core: bool = False) -> None:
        super().__init__()
        self.network, self.temperature = copy.deepcopy(network), temperature
        if core:
            # So that what is counted and moved is the core's alone.
            self.network.face_encoder = self.network.context_encoder = None
        self.core = core

    def forward(self, face: Tensor, context: Tensor) -> Answer:
        """Map images, or feature maps, to probabilities, attention and stream weights."""
        step = self.network.answer if self.core else self.network
        # The cast belongs to the work: every contender begins at the same inputs.
        dtype = self.network.classifier.logits.weight.dtype
        logits, attention, stream_weights = step(face.to(dtype), context.to(dtype))
        probabilities = (logits / self.temperature).softmax(dim=1)
        return probabilities, attention, stream_weights


def make_call(backend: Backend, module: nn.Module, compile_mode: str) -> PairCall:
    """Make a backend's way to run a module.

    On CUDA the call returns before the GPU is done. It is for the settings that the benchmark
    runs under: no gradients, no TF32.

    Args:
        backend: One of ``TORCH_BACKENDS``.
        module: On its device, in its precision; compiled in place.
        compile_mode: Of ``torch.compile``.
    """
    if backend is Backend.COMPILE:
        # Whole or not at all: else what torch does not compile runs as it is written, and the row
        # would not tell.
        module.compile(dynamic=False, fullgraph=True, mode=compile_mode)

    return _Recorded(module) if backend is Backend.CUDAGRAPH else module


def threads_problem(device: str, compile_mode: str) -> str | None:
    """Say why compiled code cannot answer in other threads, as pipelines do; None if it can."""
    if device != "cuda" or compile_mode not in _GRAPH_MODES:
        return None
    from torch._inductor import cudagraph_trees

    # With it came graphs for threads that torch did not make.
    if hasattr(cudagraph_trees, "_initialize_tls"):
        return None
    return f"torch {torch.__version__} runs compiled graphs only in the main thread"


class _Recorded:
    """Records the first batch's launches; later ones must be of its size."""

    def __init__(self, call: PairCall) -> None:
        self._call = call
        self._recording: Recording | None = None

    def __call__(self, face: Tensor, context: Tensor) -> Answer:
        if self._recording is None or len(self._recording.inputs[0]) != len(face):
            # In pipelines too: what is recorded is searched for once.
            with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
                self._recording = Recording(self._call, (face, context), None)
        for buffer, values in zip(self._recording.inputs, (face, context), strict=True):
            if buffer is not values:
                buffer.copy_(values)
        return self._recording.replay()

    def on_device(self, face: Tensor, context: Tensor) -> Callable[[], object]:
        """The replay alone, its inputs in place."""
        self(face, context)
        assert self._recording is not None  # noqa: S101 - just recorded
        return self._recording.replay


class TorchBackendRuntime(Runtime):
    """One of torch's backends as a runtime: NumPy in and out."""

    backend = "torch"

    def __init__(self, call: PairCall, metadata: Metadata, device: str) -> None:
        self.metadata, self.provider = metadata, device
        self._call = call
        self._inputs: tuple[Tensor, Tensor] | None = None

    def on_device(self, face: Tensor, context: Tensor) -> Callable[[], object]:
        """Make a call on inputs that are on the device already, float32.

        Later batches of their size are copied into them: graphs read where they were recorded.
        """
        self._inputs = face, context
        return on_device(self._call, face, context)

    @torch.no_grad()  # which is a thread's own, and pipelines answer in another
    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        given = [
            torch.from_numpy(np.require(values, requirements=["C", "W"]))
            for values in (face, context)
        ]
        inputs = self._inputs
        if inputs is None or len(inputs[0]) != len(face):
            inputs = given[0].to(self.provider), given[1].to(self.provider)
        else:
            for kept, values in zip(inputs, given, strict=True):
                kept.copy_(values)
        return output_of_tensors(self._call(*inputs))


def read_in_place(*inputs: Tensor) -> None:
    """Let the graphs of ``torch.compile`` read inputs where they are, as the other backends do.

    They would else copy them on every call.
    """
    for values in inputs:
        torch._dynamo.mark_static_address(values)


def on_device(call: PairCall, face: Tensor, context: Tensor) -> Callable[[], object]:
    """Bind a call to inputs where they must be."""
    if isinstance(call, _Recorded):
        return call.on_device(face, context)
    return lambda: call(face, context)


def output_of_tensors(answer: object) -> Output:
    """Bring an answer of torch to the host."""
    assert isinstance(answer, tuple)  # noqa: S101 - what a call returned
    return Output(*(values.float().cpu().numpy() for values in answer))
