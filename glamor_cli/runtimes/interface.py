"""One interface to every engine that runs the network: NumPy in, NumPy out, any batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import (
    BackendUnavailable,
    CheckpointError,
    DataError,
    GlamorError,
    whole_reason_of,
)
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.options import Arithmetic
from glamor_cli.weights.metadata import Metadata

INPUT_NAMES = ("face", "context")
OUTPUT_NAMES = ("probabilities", "attention", "stream_weights")
"""What exported networks and engines call what goes in and comes out, in this order."""
IMAGE = "image"
"""Where an exported graph holds the preprocessing, its input: uint8 [H, W, 3], RGB, any size."""
BOXES = "boxes"
"""And: float32 [N, 4], x1, y1, x2, y2 in pixels, x2 and y2 exclusive; N may be 0."""


@dataclass(frozen=True, eq=False)
class Output:
    """What the network says of a batch.

    Attributes:
        probabilities: float32 [B, classes]; each row sums to 1.
        attention: float32 [B, h, w]; where in the context the face looked.
        stream_weights: float32 [B, 2]: face, context.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    stream_weights: NDArray[np.float32]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Give them in the order of ``OUTPUT_NAMES``."""
        return iter((self.probabilities, self.attention, self.stream_weights))


def max_abs_diff(ours: Output, theirs: Output) -> float:
    """Largest absolute difference of any output; NaN if one is not a number."""
    # Unlike max, np.max keeps NaN.
    return float(np.max([np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)]))


_SLACK = 0.01
"""How far outside 0 to 1 a value may lie: rounding, but neither bytes nor other scales."""
_BITS_OF_ONE = np.float32(1).view(np.uint32)


class Runtime(ABC):
    """A network, loaded and ready. Several threads may share one.

    Attributes:
        metadata: What its weights say of themselves.
        backend: The engine's name: ``torch``, ``onnxruntime``, ...
        provider: What truly runs it: ``cpu``, ``cuda``, ``CPUExecutionProvider``, ...
        arithmetic: How it computes what the graph says.
        largest_batch: A larger batch is run in pieces of this size, so that memory is bounded.
    """

    metadata: Metadata
    backend: str
    provider: str
    arithmetic: Arithmetic = Arithmetic.AS_WRITTEN
    largest_batch: int = 64

    def __call__(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        """Recognise a batch.

        Args:
            face: float32 [B, 3, 96, 96], RGB in [0, 1].
            context: float32 [B, 3, 112, 112], RGB in [0, 1].

        Raises:
            DataError: Wrong shapes or types, or values that are not finite or not in [0, 1].
            BackendUnavailable: The engine fails on the batch, for example for lack of memory.
            ConfigError: The process was forked since OpenVINO opened the network.
            CheckpointError: The network answers with values that are not finite, or in other
                shapes or types than those of an ``Output``.
        """
        return self._require_finite(self.unchecked(face, context))

    def unchecked(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        """Recognise a batch as a call does, but give answers that are not finite as they are.

        For whoever compares runtimes, and must say of one by how much it is wrong. It takes and
        raises what a call does.
        """
        _check("face", face, FACE_SIZE)
        _check("context", context, CONTEXT_SIZE)
        if len(face) != len(context):
            raise DataError(
                f"there are {len(face)} faces but {len(context)} contexts",
                "Give one context for each face.",
            )
        if len(face) == 0:
            # Without asking the engine, which may refuse an empty batch.
            return Output(*(np.empty(shape, np.float32) for shape in self._shapes(0)))
        with self._running(len(face)):
            pieces = [
                self._require_float32(self._run(face[part], context[part]), part)
                for part in self._parts(len(face))
            ]
        return _join(pieces)

    def about(self, face: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], Output]:
        """Take faces whose contexts are asked about several times.

        Engines that can compute the face's half of the network once do so.

        Args:
            face: float32 [B, 3, 96, 96], RGB in [0, 1].

        Returns:
            A call from contexts, float32 [B, 3, 112, 112], to what the runtime answers about them
            and these faces, but for the last bits. It raises what the runtime raises.

        Raises:
            DataError: Wrong shapes or types, or values that are not finite or not in [0, 1].
            BackendUnavailable: The engine fails on the batch, for example for lack of memory.
            ConfigError: The process was forked since OpenVINO opened the network.
        """
        _check("face", face, FACE_SIZE)
        parts = self._parts(len(face))
        with self._running(len(face)):
            pieces = [self._about(face[part]) for part in parts]

        def ask(context: NDArray[np.float32]) -> Output:
            if not pieces or len(context) != len(face):
                return self(face, context)
            _check("context", context, CONTEXT_SIZE)
            with self._running(len(context)):
                answers = [
                    self._require_float32(piece(context[part]), part)
                    for part, piece in zip(parts, pieces, strict=True)
                ]
            return self._require_finite(_join(answers))

        return ask

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``, whichever the provider computes on."""
        return "cpu" if "cpu" in self.provider.lower() else "cuda"

    @abstractmethod
    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        """Run a checked batch of 1 to ``largest_batch``."""

    def _about(self, face: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], Output]:
        """Do `about` for 1 to ``largest_batch`` checked faces; engines with halves override it."""
        kept = face.copy()  # the caller may fill the array anew
        return lambda context: self._run(kept, context)

    @contextmanager
    def _running(self, count: int) -> Iterator[None]:
        """Turn what the engine raises over so many pairs in this block into an error of ours."""
        try:
            yield
        except GlamorError:
            raise
        except Exception as error:
            # Engines' exceptions share no base but Exception.
            batch = min(count, self.largest_batch)
            elsewhere = "" if self.device == "cpu" else ", or choose --device cpu"
            raise BackendUnavailable(
                f"{self.backend} fails on a batch of {batch} ({self.provider}): "
                f"{whole_reason_of(error)}",
                f"Give a smaller batch{elsewhere}.",
            ) from error

    def _require_finite(self, output: Output) -> Output:
        for values in output:
            if not np.isfinite(values).all():
                raise CheckpointError(
                    f"the network answers with values that are not finite ({self.provider})",
                    "Use other weights, or an fp32 file if this one is in half precision.",
                )
        return output

    def _require_float32(self, output: Output, part: slice) -> Output:
        """Check the answer to a part of a batch: others than ours may have changed the graph."""
        expected = self._shapes(part.stop - part.start)
        for name, values, shape in zip(OUTPUT_NAMES, output, expected, strict=True):
            if values.dtype != np.float32 or values.shape != shape:
                raise CheckpointError(
                    f"the network answers with {name} as {values.dtype} {list(values.shape)}, "
                    f"not float32 {list(shape)}",
                    "Use a file as glamor train or glamor export wrote it.",
                )
        return output

    def _shapes(self, count: int) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parts of an ``Output`` about so many pairs."""
        size = self.metadata.network.attention_size
        return (count, len(self.metadata.classes)), (count, size, size), (count, 2)

    def _parts(self, count: int) -> list[slice]:
        """Cut a batch of so many pairs into pieces that the engine takes at once."""
        starts = range(0, count, self.largest_batch)
        return [slice(start, min(start + self.largest_batch, count)) for start in starts]


def no_memory_left(count: int) -> BackendUnavailable:
    """Make the error that says that the GPU has no room for a batch of so many pairs."""
    return BackendUnavailable(
        f"the GPU has no memory left for a batch of {count}",
        "Free memory on the GPU, or give a smaller batch.",
    )


def _join(pieces: Sequence[Output]) -> Output:
    if len(pieces) == 1:
        return pieces[0]
    return Output(*map(np.concatenate, zip(*pieces, strict=True)))


def _check(name: str, values: NDArray[np.float32], size: int) -> None:
    if not isinstance(values, np.ndarray):
        raise DataError(
            f"{name} is {type(values).__name__}, not a NumPy array", "Give float32 arrays of pairs."
        )
    if values.dtype != np.float32 or values.ndim != 4 or values.shape[1:] != (3, size, size):
        raise DataError(
            f"{name} is {values.dtype} {list(values.shape)}, not float32 [B, 3, {size}, {size}]",
            "Make pairs with glamor_cli.vision.pairs.make_pair and stack them.",
        )
    # As whole numbers, the bits of what is not from 0 to 1, or not finite, are larger than one's.
    if not values.size or values.view(np.uint32).max() <= _BITS_OF_ONE:
        return
    # Both are NaN where one value is.
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise DataError(f"{name} holds values that are not finite", "Give RGB values from 0 to 1.")
    if low < -_SLACK or high > 1 + _SLACK:
        raise DataError(
            f"{name} holds values from {low:g} to {high:g}", "Give RGB values from 0 to 1."
        )
