"""Why one person got this answer: what the network saw, and what changes if it sees less."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.kinds import is_file
from glamor_cli.files.local import require_local
from glamor_cli.predict.predictions import FacePrediction
from glamor_cli.predict.predictor import PredictConfig, open_predictor
from glamor_cli.predict.sources import SourceImage
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.vision.attention_map import Region, extreme_squares, has_peak
from glamor_cli.vision.centerface import CenterFaceConfig
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import Pair, make_pair
from glamor_cli.vision.video_reader import is_video


@dataclass(frozen=True, eq=False)
class Hidden:
    """The answer after something was hidden.

    Attributes:
        what: What was hidden.
        probabilities: float32 [classes].
    """

    what: str
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Everything to be said about one person's answer.

    Attributes:
        source: The image's path.
        image: uint8 [H, W, 3], RGB.
        number: Which face of the image, from 1.
        faces: How many there are.
        face: The answer.
        classes: Names of the emotions.
        pair: What the network saw.
        most: The most attended region; None if the attention says nothing (it is even or absent).
        hidden: The answers with something hidden.
    """

    source: str
    image: NDArray[np.uint8]
    number: int
    faces: int
    face: FacePrediction
    classes: tuple[str, ...]
    pair: Pair
    most: Region | None
    hidden: tuple[Hidden, ...]


def explain(path: str | Path, config: PredictConfig, number: int = 1) -> Explanation:
    """Explain the answer for one face of an image.

    Args:
        path: The image.
        config: Weights, detector and device.
        number: Which face, from 1, the most confident first.

    Raises:
        DataError: The image is in no file, cannot be read or searched, or there is no face in it.
        ConfigError: There are fewer faces, or no such weights or device.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device or the detector's libraries are not here, or the engine
            fails.
    """
    require_local(path)
    try:
        image = read_image(path)
    except DataError as error:
        with suppress(OSError):  # of a name that the system refuses, which the error tells
            if is_video(path) and is_file(Path(path)):
                raise DataError(
                    f"{path} is a video, and only pictures are explained",
                    "Save a frame as a picture; glamor predict takes videos.",
                ) from error
        raise
    predictor = open_predictor(config)
    (prediction,) = predictor.predict([SourceImage(str(path), image)])
    if prediction.reason is not None:
        raise DataError(f"{path}: {prediction.reason}", "Shrink it, or choose another --detector.")
    if not prediction.faces:
        lower = f", or --min-score {CenterFaceConfig.min_score}"
        doubtful = lower if config.min_score is None else ""
        raise DataError(
            f"no face was found in {path}", f"Give a larger picture of the face{doubtful}."
        )
    if not 1 <= number <= len(prediction.faces):
        raise ConfigError(
            f"there is no face {number} in {path}",
            f"Choose --face from 1 to {len(prediction.faces)}, the most confident first.",
        )
    face = prediction.faces[number - 1]
    pair = make_pair(image, face.box)
    most, hidden = hide(predictor.runtime, pair, face.attention)
    return Explanation(
        source=str(path),
        image=image,
        number=number,
        faces=len(prediction.faces),
        face=face,
        classes=prediction.classes,
        pair=pair,
        most=most,
        hidden=hidden,
    )


def hide(
    runtime: Runtime, pair: Pair, attention: NDArray[np.float32]
) -> tuple[Region | None, tuple[Hidden, ...]]:
    """Ask again with the face hidden, the most attended region hidden, the least attended hidden.

    What is hidden is set to zero, as the network knows it from the face's place in the context.
    The least attended region has the same size: it tells what hiding alone does.

    Returns:
        The most attended region, if there is one, and the answers.

    Raises:
        CheckpointError: The network answers with values that are not finite.
        BackendUnavailable: The engine fails.
    """
    cases = [("the face", Pair(np.zeros_like(pair.face), pair.context))]
    most = None
    if has_peak(attention):
        most, least = extreme_squares(attention)
        cases.append(("where it looked most", Pair(pair.face, _without(pair.context, most))))
        cases.append(("where it looked least", Pair(pair.face, _without(pair.context, least))))
    output = runtime(
        np.stack([case.face for _, case in cases]), np.stack([case.context for _, case in cases])
    )
    answers = zip(cases, output.probabilities, strict=True)
    return most, tuple(Hidden(what, probabilities) for (what, _), probabilities in answers)


def _without(context: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
    """Copy a context, float32 [3, 112, 112], with a region set to zero."""
    hidden = context.copy()
    hidden[:, region.y1 : region.y2, region.x1 : region.x2] = 0
    return hidden
