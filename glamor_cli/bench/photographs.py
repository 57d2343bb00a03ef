"""The targets that begin with image files: detector, preprocess, pipeline."""

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from glamor_cli.bench.contenders import Absent, Contender, Entry, LineUp, Setup
from glamor_cli.bench.network import open_runtimes
from glamor_cli.bench.options import Backend, Precision
from glamor_cli.bench.torch_backends import threads_problem
from glamor_cli.errors import BackendUnavailable
from glamor_cli.files.kinds import is_file
from glamor_cli.predict.predictions import ImagePrediction
from glamor_cli.predict.predictor import PredictConfig, Predictor
from glamor_cli.predict.sources import SourceImage
from glamor_cli.runtimes.interface import Output
from glamor_cli.vision.centerface import gains_from_openvino
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.faces import Detector
from glamor_cli.vision.image_files import find_photograph, list_images
from glamor_cli.vision.images import read_image
from glamor_cli.vision.options import DetectorEngine
from glamor_cli.vision.pairs import NO_FACE, Pair, make_pair, round_box

_DETECTOR_ENGINES = {
    Backend.ORT_CUDA: DetectorEngine.CUDA,
    Backend.OPENVINO: DetectorEngine.OPENVINO,
}
_FRAME = (712, 400)
"""Width and height of a CAER-S frame."""


def detector_line_up(setup: Setup, batch: int) -> LineUp:
    """The default detector on decoded images, one after another, on each engine asked for."""
    images = [read_image(path) for path in photographs(setup, batch)]
    detector = open_detector(threads=setup.threads)
    here = _on_cpu(detector.kind, lambda: [detector.detect(image) for image in images])
    entries: list[Entry] = [here]
    for backend, other in _other_detectors(setup).items():
        precision = Precision.BF16 if backend is Backend.OPENVINO else Precision.FP32
        if isinstance(other, str):
            entries.append(Absent(backend, precision, other))
            continue

        def run(detector: Detector = other) -> object:
            return [detector.detect(image) for image in images]

        device = "cuda" if backend is Backend.ORT_CUDA else "cpu"
        entries.append(Contender(backend, str(other.kind), precision, device, run))
    return LineUp(tuple(entries))


def preprocess_line_up(setup: Setup, batch: int) -> LineUp:
    """Decode, detect, and make the pair of the best face, one image after another."""
    detector = open_detector(threads=setup.threads)
    paths = photographs(setup, batch)

    def pair(path: Path) -> Pair:
        image = read_image(path)
        faces = detector.detect(image)
        return make_pair(image, round_box(faces.boxes[0]) if len(faces) else NO_FACE)

    return LineUp((_on_cpu(detector.kind, lambda: [pair(path) for path in paths]),))


def pipeline_line_up(setup: Setup, batch: int) -> LineUp:
    """From image files to answers, with each backend as the network.

    OpenVINO and CUDA also run the detector where ``glamor predict --provider`` lets them.
    """
    paths = photographs(setup, batch)
    config = PredictConfig(weights=setup.weights, threads=setup.threads, batch=batch)
    detector, others = open_detector(threads=setup.threads), _other_detectors(setup)
    entries: list[Entry] = []
    reference = None
    in_threads = threads_problem(setup.device, setup.compile_mode)
    for opened in open_runtimes(setup, batch):
        if isinstance(opened, Absent):
            entries.append(opened)
            continue
        backend, precision, runtime, export = opened
        if backend is Backend.COMPILE and in_threads is not None:
            entries.append(Absent(backend, precision, in_threads))
            continue
        finder = others.get(backend, detector)
        # An engine that does not run the detector gets its faces from the CPU.
        used = detector if isinstance(finder, str) else finder
        predictor = Predictor(used, runtime, config)

        def run(predictor: Predictor = predictor) -> object:
            images = (SourceImage(str(path), read_image(path)) for path in paths)
            return list(predictor.predict(images))

        contender = Contender(
            backend, runtime.provider, precision, runtime.device, run, export=export
        )
        # Another engine's detector may find other faces, and ranks them otherwise.
        if used is detector:
            contender = replace(contender, answer=_output_of_images)
        entries.append(contender)
        if backend is Backend.EAGER and precision == Precision.FP32:
            reference = _output_of_images(run())
    return LineUp(tuple(entries), reference)


def _on_cpu(detector: str, run: Callable[[], object]) -> Contender:
    """Enter the usual way to do it, on the detector's usual engine."""
    return Contender(Backend.ORT, str(detector), Precision.FP32, "cpu", run)


def _other_detectors(setup: Setup) -> dict[Backend, Detector | str]:
    """Open the detector on the other engines asked for, or say why one does not run it."""
    found: dict[Backend, Detector | str] = {}
    for backend, engine in _DETECTOR_ENGINES.items():
        if backend not in setup.backends:
            continue
        if engine is DetectorEngine.OPENVINO and not gains_from_openvino():
            found[backend] = "it runs the detector only on CPUs with AMX"
            continue
        try:
            found[backend] = open_detector(threads=setup.threads, engine=engine)
        except BackendUnavailable as error:
            found[backend] = error.what
    return found


def photographs(setup: Setup, count: int) -> list[Path]:
    """List as many image files as asked for, going round if there are fewer.

    Raises:
        DataError: The folder given holds no images.
        BackendUnavailable: None is given, and scikit-image, which has one, is not installed.
    """
    if setup.config.images is not None:
        # A link whose photograph is missing is listed, too.
        there = (path for path in list_images(setup.config.images) if is_file(path))
        found = list(islice(there, count))
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
            "the photograph to measure comes with scikit-image, which is missing (use --images)",
            "Install scikit-image, or give photographs with --images.",
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
