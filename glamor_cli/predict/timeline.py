"""How the emotions of a video's people went, gathered in bounded memory for one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.vision.tracks import TrackedFace

BINS = 600
"""Most points of a line: more than a picture can show."""
MOST_TRACKS = 64
"""People that are kept; of more, those seen in the fewest frames are forgotten."""
_FIRST_BIN = 0.02
"""Seconds of a bin at the beginning; it doubles whenever the video has outgrown the bins."""


@dataclass(frozen=True, eq=False)
class Line:
    """One person's line.

    Attributes:
        track: The person's number.
        frames: In how many frames the person was seen.
        times: float64 [n], seconds, rising.
        probabilities: float64 [n, classes], smoothed; each row sums to 1.
        missed: int64 [n], how many bins before a point, back to the one before, hold only frames in
            which the person was not seen. A frame that is shown for long misses nobody.
    """

    track: int
    frames: int
    times: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    missed: NDArray[np.int64]


class Timeline:
    """Takes the people of frame after frame; of any length, it holds at most 64 x 600 points.

    Points are means over bins of time, which widen as the video goes on.

    Args:
        classes: Names of the emotions.

    Attributes:
        classes: The same.
        end: Seconds, of the last frame that was taken.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.end = 0.0
        self._people = 0
        self._width = _FIRST_BIN
        # Of each bin: how many frames were looked at.
        self._looks = np.zeros((BINS, 1))
        # Of each track and bin: how many faces, the sum of their times, the sums of probabilities.
        self._sums: dict[int, NDArray[np.float64]] = {}

    def add(self, time: float, people: Sequence[TrackedFace]) -> None:
        """Take the people of one frame.

        Args:
            time: Seconds, later than the last frame's.
            people: Their tracks and smoothed emotions.
        """
        self.end = max(self.end, time)
        while time >= self._width * BINS:
            self._width *= 2
            self._looks = _halve(self._looks)
            self._sums = {track: _halve(sums) for track, sums in self._sums.items()}
        index = int(time / self._width)
        self._looks[index] += 1
        present = {person.track for person in people}
        for person in people:
            self._people = max(self._people, person.track)
            if person.track not in self._sums:
                if not self._make_room(present):
                    continue
                self._sums[person.track] = np.zeros((BINS, 2 + len(self.classes)))
            point = np.concatenate([[1.0, time], person.probabilities])
            self._sums[person.track][index] += point

    @property
    def forgotten(self) -> int:
        """How many people have no line; they are numbered from 1 without gaps."""
        return self._people - len(self._sums)

    def lines(self) -> list[Line]:
        """Give everybody's line, in the order of appearing."""
        looked = self._looks[:, 0] > 0
        return [_line(track, sums, looked) for track, sums in sorted(self._sums.items())]

    def _make_room(self, present: set[int]) -> bool:
        """Forget somebody if need be, but nobody who is in the picture: newcomers have few frames.

        False where all who are kept are.
        """
        if len(self._sums) < MOST_TRACKS:
            return True
        gone = [track for track in self._sums if track not in present]
        if not gone:
            return False
        del self._sums[min(gone, key=lambda track: self._sums[track][:, 0].sum())]
        return True


def _halve(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Join neighbouring bins; the second half becomes free."""
    joined = sums.reshape(BINS // 2, 2, -1).sum(axis=1)
    return np.concatenate([joined, np.zeros_like(joined)])


def _line(track: int, sums: NDArray[np.float64], looked: NDArray[np.bool_]) -> Line:
    seen = sums[:, 0] > 0
    filled = sums[seen]
    means = filled[:, 1:] / filled[:, :1]
    missed = np.diff(np.cumsum(looked & ~seen)[seen], prepend=0)
    return Line(track, round(float(filled[:, 0].sum())), means[:, 0], means[:, 1:], missed)
