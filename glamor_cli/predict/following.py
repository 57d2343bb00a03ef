"""Following people from frame to frame: one frame's answers become answers about people."""

from dataclasses import dataclass, replace

import numpy as np

from glamor_cli.predict.predictions import ImagePrediction
from glamor_cli.predict.rows import FaceRow, by_emotion, rounded
from glamor_cli.vision.cuts import CutDetector
from glamor_cli.vision.faces import is_image
from glamor_cli.vision.frames import Frame
from glamor_cli.vision.options import TRACKING, TrackingConfig
from glamor_cli.vision.tracks import FaceTracker, TrackedFace


@dataclass(frozen=True, eq=False)
class FramePrediction(ImagePrediction):
    """One frame's answers; its ``faces`` hold those of this frame alone.

    Attributes:
        frame: Its number in the video, from 0.
        time: Seconds since the file's beginning, which may be that of its sound.
        people: Whose faces they are, and their smoothed emotions; one for each face.
    """

    frame: int = 0
    time: float = 0.0
    people: tuple[TrackedFace, ...] = ()

    def rows(self) -> list[FaceRow]:
        """Give one row per face, or the one that says that there is none in this frame."""
        # A NumPy number, as cameras' programs may count in, is none of JSON's.
        frame, time = int(self.frame), rounded(self.time)
        rows = [replace(row, frame=frame, time=time) for row in super().rows()]
        if not self.people:
            return rows
        return [self._track(row, person) for row, person in zip(rows, self.people, strict=True)]

    def _track(self, row: FaceRow, person: TrackedFace) -> FaceRow:
        probabilities = by_emotion(self.classes, person.probabilities)
        emotion = self.classes[int(person.probabilities.argmax())]
        return replace(
            row,
            track=person.track,
            smoothed_emotion=emotion,
            smoothed_probability=probabilities[emotion],
            smoothed_probabilities=probabilities,
        )


@dataclass(frozen=True)
class FramePlace:
    """Where a frame stands in its video.

    Attributes:
        index: Its number, from 0.
        time: Its seconds since the beginning.
        is_cut: Whether it begins another shot than the frame before.
    """

    index: int
    time: float
    is_cut: bool


class FrameFollower:
    """Follows the people of one video or camera, frame by frame in their order."""

    def __init__(self, tracking: TrackingConfig = TRACKING) -> None:
        self._tracker = FaceTracker(tracking)
        self._cuts = CutDetector()

    def place(self, frame: Frame) -> FramePlace:
        """Take the next frame that is looked at, before or while it is answered."""
        # What is no image is told of when it is looked at, and is no cut.
        is_cut = is_image(frame.image) and self._cuts.update(frame.image)
        return FramePlace(frame.index, frame.time, is_cut)

    def follow(self, answer: ImagePrediction, place: FramePlace) -> FramePrediction:
        """Say who the faces of the next answer are."""
        if place.is_cut:
            self.cut()
        boxes = np.array([face.box for face in answer.faces], np.float32)
        people = self._tracker.update(
            place.time, boxes, [face.probabilities for face in answer.faces]
        )
        return FramePrediction(
            **vars(answer), frame=place.index, time=place.time, people=tuple(people)
        )

    def cut(self) -> None:
        """Let whoever is seen next be somebody new."""
        self._tracker.cut()
