"""What videos and cameras give: frames, and which of them are looked at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.vision.options import SHORTEST, Sampling


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video or a camera.

    Attributes:
        index: Its number in the order of showing, from 0, counting those passed over.
        time: Seconds since the beginning: of a file, which may be its sound's, or of a camera's
            first frame. Rises frame by frame.
        image: uint8 [H, W, 3], RGB, upright.
    """

    index: int
    time: float
    image: NDArray[np.uint8]


class FrameChoice:
    """Says of each frame, in turn, whether it is looked at."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._due = 0.0

    def __call__(self, index: int, time: float) -> bool:
        """Take the next frame's number, from 0, and its seconds."""
        every = self._sampling.every
        if every is None:
            return index % self._sampling.stride == 0
        if index and time < self._due - SHORTEST:
            return False
        # Intervals count from the beginning, so that late frames do not add up.
        self._due = (np.floor((time + SHORTEST) / every) + 1) * every
        return True
