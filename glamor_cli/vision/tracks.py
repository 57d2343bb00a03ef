"""Following faces through a video, so that one person has one line over time.

The rule, at each frame that is looked at:

1. Each face is compared with each track by intersection over union, twice: with the box where the
   track was last seen, and with that box moved on at the track's velocity. The larger one counts.
2. Before that, both boxes grow on every side by ``growth`` of their side for each second since the
   track was seen, at most by ``growth`` once: frames far apart leave a head time to move.
3. The pair of face and track that overlap most is joined, then the next of those left, as long as
   they overlap by ``min_overlap`` (greedy; equals go to the older track and the surer face).
4. A face that is left over begins a track. A track that is not seen for more than ``lost_after``
   seconds and more than ``lost_looks`` frames looked at ends, and its number is not used again.
5. At a cut (``vision.cuts``) all tracks end: who is then at somebody's place is somebody else, and
   whoever comes again has a new number.

A face's emotion is smoothed by an exponential filter in time, not in frames, so that strides and
variable frame rates change nothing about it: after t seconds a change is taken over by
1 - exp(-t / smoothing).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glamor_cli.vision.options import TRACKING, TrackingConfig
from glamor_cli.vision.overlap import intersection_over_union

_VELOCITY_TIME = 0.2
"""Seconds over which a track's velocity is averaged: detectors' boxes tremble."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """What following adds to a face.

    Attributes:
        track: The person's number in this video, from 1 in the order of appearing.
        probabilities: float32 [classes], smoothed in time; they sum to 1.
    """

    track: int
    probabilities: NDArray[np.float32]


@dataclass(eq=False)
class _Track:
    """One person on the way.

    Attributes:
        number: From 1.
        box: float32 [4], x1, y1, x2, y2, where it was last seen.
        velocity: float32 [2], pixels a second, right and down.
        seen: When it was last seen.
        missed: Frames looked at since.
        smoothed: float64 [classes].
    """

    number: int
    box: NDArray[np.float32]
    seen: float
    smoothed: NDArray[np.float64]
    velocity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))
    missed: int = 0


class FaceTracker:
    """Follows the faces of one video; holds only the tracks that have not ended."""

    def __init__(self, config: TrackingConfig = TRACKING) -> None:
        self._config = config
        self._tracks: list[_Track] = []
        self._count = 0

    def update(
        self,
        time: float,
        boxes: NDArray[np.float32],
        probabilities: Sequence[NDArray[np.float32]],
    ) -> list[TrackedFace]:
        """Take the faces of the next frame.

        Args:
            time: Seconds, later than the last frame's.
            boxes: [n, 4] as x1, y1, x2, y2 in pixels, the surest first.
            probabilities: Each face's, float32 [classes].

        Returns:
            Each face's track, in the order of the boxes.
        """
        # A copy, for tracks keep its rows, and the caller may fill the same array for each frame.
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        joined = self._join(time, boxes)
        for track in self._tracks:
            track.missed += 1
        faces = []
        for index, (box, answer) in enumerate(zip(boxes, probabilities, strict=True)):
            track = joined.get(index) or self._begin(time, box, answer)
            self._move(track, time, box, answer)
            faces.append(TrackedFace(track.number, track.smoothed.astype(np.float32)))
        self._tracks = [track for track in self._tracks if not self._is_lost(track, time)]
        return faces

    def cut(self) -> None:
        """End all tracks: the next frame is another shot's."""
        self._tracks.clear()

    def _join(self, time: float, boxes: NDArray[np.float32]) -> dict[int, _Track]:
        """Give faces, by their index, the tracks that they go on."""
        if not self._tracks or not len(boxes):
            return {}
        overlaps = np.stack([self._overlaps(track, time, boxes) for track in self._tracks])
        joined: dict[int, _Track] = {}
        while True:
            number, index = divmod(int(overlaps.argmax()), len(boxes))
            if overlaps[number, index] < self._config.min_overlap:
                return joined
            joined[index] = self._tracks[number]
            overlaps[number] = overlaps[:, index] = -1

    def _overlaps(
        self, track: _Track, time: float, boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The overlap of a track with each box, [n]."""
        passed = time - track.seen
        by = self._config.growth * min(passed, 1.0)
        moved = track.box + np.tile(track.velocity * np.float32(passed), 2)
        grown = _grow(boxes, by)
        stayed, went = (
            intersection_over_union(_grow(box, by), grown) for box in (track.box, moved)
        )
        overlaps: NDArray[np.float32] = np.maximum(stayed, went)
        return overlaps

    def _begin(self, time: float, box: NDArray[np.float32], answer: NDArray[np.float32]) -> _Track:
        self._count += 1
        track = _Track(self._count, box, time, answer.astype(np.float64))
        self._tracks.append(track)
        return track

    def _move(
        self, track: _Track, time: float, box: NDArray[np.float32], answer: NDArray[np.float32]
    ) -> None:
        """Bring a track to a face of this frame."""
        passed = time - track.seen
        if passed > 0:
            step = (box[:2] + box[2:] - track.box[:2] - track.box[2:]) / np.float32(2 * passed)
            track.velocity += np.float32(_share(passed, _VELOCITY_TIME)) * (step - track.velocity)
            share = _share(passed, self._config.smoothing)
            track.smoothed += share * (answer - track.smoothed)
        track.box, track.seen, track.missed = box, time, 0

    def _is_lost(self, track: _Track, time: float) -> bool:
        return (
            time - track.seen > self._config.lost_after and track.missed > self._config.lost_looks
        )


def _share(passed: float, over: float) -> float:
    """How much of a change an exponential filter takes over in a time."""
    return -math.expm1(-passed / over) if over > 0 else 1.0


def _grow(boxes: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    """Grow boxes [..., 4] on every side by a share of their sides."""
    sides = (boxes[..., 2:] - boxes[..., :2]) * np.float32(by)
    return np.concatenate([boxes[..., :2] - sides, boxes[..., 2:] + sides], axis=-1)
