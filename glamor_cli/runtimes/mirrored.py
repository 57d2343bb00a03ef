"""A network that is asked twice, about a pair and about its mirror image."""

import numpy as np
from numpy.typing import NDArray

from glamor_cli.network.config import FEATURE_MAPS
from glamor_cli.runtimes.interface import Output, Runtime


class MirroredRuntime(Runtime):
    """Averages the answers to pairs and to the same pairs mirrored left to right.

    A mirrored face shows the same emotion, but the network does not answer it quite alike. Whether
    the average is right more often depends on the weights: their cards say what it does to each. It
    takes the network twice the time; finding faces and making pairs takes no longer.

    The attention is averaged where the cells of its map lie symmetrically in the context, as the
    original encoder's do. ResNet-18's are centred at pixels 0, 32, 64 and 96 of 112: mirrored, the
    cells look at places between these, so there it is the attention to the pair as it is.

    Args:
        runtime: Who answers.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.metadata = runtime.metadata
        self.backend = runtime.backend
        self.provider = runtime.provider
        self.arithmetic = runtime.arithmetic
        self.largest_batch = runtime.largest_batch
        self._symmetric = FEATURE_MAPS[runtime.metadata.network.encoder].is_even

    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        # The average is checked; it is not finite where either answer is not.
        seen = self._runtime.unchecked(face, context)
        mirrored = self._runtime.unchecked(_mirror(face), _mirror(context))
        return Output(
            _average(seen.probabilities, mirrored.probabilities),
            # Turned back: each place of the context is looked at where it lies in the picture.
            _average(seen.attention, _mirror(mirrored.attention))
            if self._symmetric
            else seen.attention,
            _average(seen.stream_weights, mirrored.stream_weights),
        )


def _mirror(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Swap left and right; the last axis is the width."""
    return np.ascontiguousarray(values[..., ::-1])


def _average(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(0.5) * (one + other)
