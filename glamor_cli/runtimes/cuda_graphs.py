"""CUDA graphs: a network's launches recorded once for a batch size, then replayed as one."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from glamor_cli.network.inference import Answer

PairCall = Callable[[Tensor, Tensor], Answer]
"""Answers a batch of faces and contexts, or of their feature maps."""

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Batch sizes that are recorded; others run in the next larger one, at most a third of it idle."""
_KEPT_SIZES = 8
"""Each keeps buffers on the GPU."""
_WARMUP_RUNS = 3


def recorded_size(batch: int) -> int:
    """Find the size that a batch runs in: the next of ``SIZES``, or itself beyond the largest."""
    index = bisect_left(SIZES, batch)
    return SIZES[index] if index < len(SIZES) else batch


class Recording:
    """One batch size: its buffers, and the graph that goes from inputs to answers.

    Attributes:
        inputs: Face (B, 3, 96, 96) and context (B, 3, 112, 112), or the core's two feature maps,
            where the graph reads them; in the type and memory format of the example given.
    """

    def __init__(self, call: PairCall, example: tuple[Tensor, Tensor], pool: Any) -> None:
        self.inputs = tuple(torch.zeros_like(values) for values in example)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Choosing algorithms and compiling must not be recorded.
            for _ in range(_WARMUP_RUNS):
                call(*self.inputs)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # By default a call of any other thread's to CUDA would spoil it.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._answers = call(*self.inputs)

    def replay(self) -> Answer:
        """Answer what the inputs hold, before the GPU is done; the next replay writes over it."""
        self._graph.replay()
        return self._answers


class GraphedCall:
    """A call for batches of any size, replayed where its size was seen before.

    Args:
        call: From float32 (B, 3, 96, 96) and (B, 3, 112, 112) on the device to three answers.
            Samples must not depend on each other.
    """

    def __init__(self, call: PairCall) -> None:
        self._call = call
        self._pool = torch.cuda.graph_pool_handle()
        self._recordings: OrderedDict[int, Recording] = OrderedDict()

    def __call__(self, face: Tensor, context: Tensor) -> Answer:
        """Answer float32 tensors of host or device; the next call writes over the answers."""
        count = len(face)
        recording = self.recording(count, face.shape[1:], context.shape[1:])
        for buffer, values in zip(recording.inputs, (face, context), strict=True):
            buffer[:count].copy_(values, non_blocking=True)
            # Numbers of earlier batches that overflow would reach those that share a program.
            buffer[count:].zero_()
        probabilities, attention, stream_weights = recording.replay()
        return probabilities[:count], attention[:count], stream_weights[:count]

    def recording(self, batch: int, face: torch.Size, context: torch.Size) -> Recording:
        """Record a batch's size once; the least recently used sizes are let go."""
        size = recorded_size(batch)
        if size not in self._recordings:
            while len(self._recordings) >= _KEPT_SIZES:
                self._recordings.popitem(last=False)
            example = (
                torch.empty(size, *face, device="cuda"),
                torch.empty(size, *context, device="cuda"),
            )
            self._recordings[size] = Recording(self._call, example, self._pool)
        self._recordings.move_to_end(size)
        return self._recordings[size]
