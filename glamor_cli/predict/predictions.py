"""What is answered: of a face, and of an image with all its faces."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.predict.rows import FaceRow, by_emotion, rounded
from glamor_cli.vision.pairs import Box
from glamor_cli.vision.status import Status


@dataclass(frozen=True, eq=False)
class FacePrediction:
    """One person's answer.

    Attributes:
        box: The face in whole pixels, inside the image.
        detector_score: How sure the detector is.
        probabilities: float32 [classes].
        attention: float32 [h, w]; where in the context this face looked.
        stream_weights: float32 [2]: face, context.
    """

    box: Box
    detector_score: float
    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    stream_weights: NDArray[np.float32]

    @property
    def emotion(self) -> int:
        """Index of the most probable emotion; of equals, the first."""
        return int(self.probabilities.argmax())

    @property
    def first_two(self) -> tuple[int, int]:
        """Indices of the most probable emotion and of the next."""
        best, second = np.argsort(-self.probabilities, kind="stable")[:2]
        return int(best), int(second)


@dataclass(frozen=True, eq=False)
class ImagePrediction:
    """One image's answers.

    Attributes:
        source: Its path as found, or the source as given where nothing could be found.
        classes: Names of the emotions.
        faces: The most confident first; empty without a face.
        reason: Why it could not be read, else None.
        remedy: What to do about that, else None.
        image: uint8 [H, W, 3] RGB, if pixels were to be kept and could be read.
    """

    source: str
    classes: tuple[str, ...]
    faces: tuple[FacePrediction, ...] = ()
    reason: str | None = None
    remedy: str | None = None
    image: NDArray[np.uint8] | None = None

    def rows(self) -> list[FaceRow]:
        """Give one row per face, or the one that says why there is none."""
        if self.reason is not None:
            row = FaceRow(self.source, None, Status.ERROR, reason=self.reason, remedy=self.remedy)
            return [row]
        if not self.faces:
            return [FaceRow(self.source, None, Status.NO_FACE)]
        return [self._row(number, face) for number, face in enumerate(self.faces, start=1)]

    def _row(self, number: int, face: FacePrediction) -> FaceRow:
        probabilities = by_emotion(self.classes, face.probabilities)
        emotion = self.classes[face.emotion]
        return FaceRow(
            source=self.source,
            face=number,
            status=Status.OK,
            box=face.box,
            detector_score=rounded(face.detector_score),
            emotion=emotion,
            probability=probabilities[emotion],
            probabilities=probabilities,
            face_weight=rounded(face.stream_weights[0]),
            context_weight=rounded(face.stream_weights[1]),
        )
