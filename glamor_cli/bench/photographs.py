"""The targets that begin with image files: detector, preprocess, pipeline."""

from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from glamor_cli.bench.contenders import Absent, Contender, Entry, LineUp, Setup
from glamor_cli.bench.network import open_runtimes
from glamor_cli.bench.options import Backend, Precision
from glamor_cli.errors import BackendUnavailable
from glamor_cli.predict.predictor import ImagePrediction, PredictConfig, Predictor
from glamor_cli.predict.sources import SourceImage
from glamor_cli.runtimes.interface import Output
from glamor_cli.vision.centerface import gains_from_openvino
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.image_files import find_photograph, list_images
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import NO_FACE, Pair, make_pair, round_box

_FRAME = (712, 400)
"""Width and height of a CAER-S frame."""


def detector_line_up(setup: Setup, batch: int) -> LineUp:
    """The default detector on decoded images, one after another."""
    images = [read_image(path) for path in photographs(setup, batch)]
    detector = open_detector(threads=setup.threads)
    alone = _alone(detector.kind, lambda: [detector.detect(image) for image in images])
    if Backend.OPENVINO not in setup.backends:
        return alone
    if not gains_from_openvino():
        absent = Absent(Backend.OPENVINO, Precision.BF16, "it runs the detector on AMX alone")
        return LineUp((*alone.entries, absent))
    faster = open_detector(threads=setup.threads, openvino=True)

    def run() -> object:
        return [faster.detect(image) for image in images]

    contender = Contender(Backend.OPENVINO, str(faster.kind), Precision.BF16, "cpu", run)
    return LineUp((*alone.entries, contender))


def preprocess_line_up(setup: Setup, batch: int) -> LineUp:
    """Decode, detect, and make the pair of the best face, one image after another."""
    detector = open_detector(threads=setup.threads)
    paths = photographs(setup, batch)

    def pair(path: Path) -> Pair:
        image = read_image(path)
        faces = detector.detect(image)
        return make_pair(image, round_box(faces.boxes[0]) if len(faces) else NO_FACE)

    return _alone(detector.kind, lambda: [pair(path) for path in paths])


def pipeline_line_up(setup: Setup, batch: int) -> LineUp:
    """From image files to answers, with each backend as the network.

    OpenVINO also runs the detector where ``glamor predict --provider openvino`` lets it.
    """
    paths = photographs(setup, batch)
    config = PredictConfig(weights=setup.weights, threads=setup.threads, batch=batch)
    detector = of_openvino = open_detector(threads=setup.threads)
    if Backend.OPENVINO in setup.backends and gains_from_openvino():
        of_openvino = open_detector(threads=setup.threads, openvino=True)
    entries: list[Entry] = []
    reference = None
    for backend, precision, runtime in open_runtimes(setup, batch):
        if isinstance(runtime, str):
            entries.append(Absent(backend, precision, runtime))
            continue
        finder = of_openvino if backend is Backend.OPENVINO else detector
        predictor = Predictor(finder, runtime, config)

        def run(predictor: Predictor = predictor) -> object:
            images = (SourceImage(str(path), read_image(path)) for path in paths)
            return list(predictor.predict(images))

        provider = runtime.provider
        entries.append(
            Contender(backend, provider, precision, runtime.device, run, _output_of_images)
        )
        if backend is Backend.EAGER and precision == Precision.FP32:
            reference = _output_of_images(run())
    return LineUp(tuple(entries), reference)


def _alone(detector: str, run: Callable[[], object]) -> LineUp:
    """Line up the single way there is to do it, on the detector's engine."""
    return LineUp((Contender(Backend.ORT, str(detector), Precision.FP32, "cpu", run),))


def photographs(setup: Setup, count: int) -> list[Path]:
    """List as many image files as asked for, going round if there are fewer.

    Raises:
        DataError: The folder given holds no images.
        BackendUnavailable: None is given, and scikit-image, which has one, is not installed.
    """
    if setup.config.images is not None:
        found = list(islice(list_images(setup.config.images), count))
    else:
        found = [_own_photograph(setup.folder)]
    return list(islice(cycle(found), count))


def _own_photograph(folder: Path) -> Path:
    """Write a real photograph from an installed package as a 712x400 JPEG, as CAER-S has them.

    Raises:
        BackendUnavailable: The package is not installed.
    """
    photograph = find_photograph()
    if photograph is None:
        raise BackendUnavailable(
            "scikit-image, whose photograph is measured, is not installed; --images gives others",
            "Give photographs with --images.",
        )
    path = folder / "astronaut.jpg"
    if not path.is_file():
        with Image.open(photograph) as image:
            height = round(image.width * _FRAME[1] / _FRAME[0])
            image.crop((0, 0, image.width, height)).resize(_FRAME).save(path, quality=90)
    return path


def _output_of_images(answer: object) -> Output | None:
    """Stack the answers of all faces; None without any."""
    assert isinstance(answer, list)  # noqa: S101 - what run returned
    images: list[ImagePrediction] = answer
    faces = [face for image in images for face in image.faces]
    if not faces:
        return None
    return Output(
        np.stack([face.probabilities for face in faces]),
        np.stack([face.attention for face in faces]),
        np.stack([face.stream_weights for face in faces]),
    )
