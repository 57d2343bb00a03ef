"""From sources to answers: read → detect → pair → recognise in batches → rows.

Everything streams: images are looked at in threads, a few ahead, while the network runs on the
faces of those before. Memory holds these and a batch of faces, however many sources there are.
Nothing here needs torch unless the weights do.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.predict.predictions import FacePrediction, ImagePrediction
from glamor_cli.predict.rows import FaceRow
from glamor_cli.predict.sources import (
    SourceImage,
    Sources,
    count_source_pixels,
    list_sources,
    read_source,
)
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.runtimes.options import FACES_AT_ONCE, Device, Provider
from glamor_cli.settings import require_finite, require_positive, settle_choices
from glamor_cli.system.cpus import available_cpus
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.faces import Detector, Faces
from glamor_cli.vision.options import (
    DEFAULT_DETECTOR,
    MOST_AT_ONCE,
    DetectorEngine,
    DetectorKind,
)
from glamor_cli.vision.pairs import NO_FACE, Box, Pair, clip_box, make_pair, round_box
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

AHEAD_PIXELS = 64_000_000
"""Images are not looked at ahead when those under way hold more pixels than this together."""
HELD_PIXELS = 48_000_000
"""A batch is closed early when its images, kept for drawing, hold more pixels than this."""
_DETECTOR_ENGINES: dict[str | None, DetectorEngine] = {
    Provider.CUDA: DetectorEngine.CUDA,
    Provider.OPENVINO: DetectorEngine.OPENVINO,
}


@dataclass(frozen=True)
class PredictConfig:
    """How to predict.

    Attributes:
        weights: A name from ``weights/`` or a file.
        detector: Who finds the faces: a ``DetectorKind`` or its value.
        device: ``auto``, ``cpu`` or ``cuda``, for the network.
        threads: CPU threads for each engine, images read at once (16 at most), and threads of the
            video decoder (4 at most); None takes all cores. Torch, which runs ``.safetensors``
            files, has one number for the whole process, and keeps it.
        provider: What runs an ONNX file of the network; None chooses by ``device``. It runs
            CenterFace, too, OpenVINO only where the CPU has AMX; None leaves that to the CPU.
        flip: Also ask the network about each pair's mirror image, and average the answers.
        min_score: Faces of which the detector is less sure are left out; None takes the detector's
            bound of ``MIN_SCORES``.
        long_side: The long side, in pixels, that CenterFace shrinks an image to; None is its
            default.
        batch: How many faces the network sees at once, across images.
        keep_images: Leave the pixels in the results, to draw on them.

    Raises:
        ConfigError: No such detector, device or provider, a batch of less than one face, less than
            one thread, or a score that is negative, not finite, or beyond those of the detector.
    """

    weights: str | Path = DEFAULT_WEIGHTS
    detector: str = DEFAULT_DETECTOR
    device: str = Device.AUTO
    threads: int | None = None
    provider: str | None = None
    flip: bool = False
    min_score: float | None = None
    long_side: int | None = None
    batch: int = FACES_AT_ONCE
    keep_images: bool = False

    def __post_init__(self) -> None:
        settle_choices(self, detector=DetectorKind, device=Device, provider=Provider)
        require_positive(self.batch, "the batch size", "--batch")
        require_positive(self.threads, "the number of threads", "--threads")
        least = self.min_score or 0.0
        require_finite(least, "the lowest detector score", "Give --min-score 0 or more.")
        # dlib's scores have no such bound.
        if self.detector is DetectorKind.CENTERFACE and least > 1:
            raise ConfigError(
                f"centerface's scores go from 0 to 1: no face would have {self.min_score}",
                "Give --min-score 1 or less.",
            )


def predict(sources: Sources, config: PredictConfig) -> Iterator[FaceRow]:
    """Predict the emotion of every face; one row each, in the order of the sources.

    Nothing is done, and no error raised, before the first result is asked for. Each call opens the
    detector and the network anew; ``open_predictor`` keeps them. Videos are for
    ``glamor_cli.predict.video.predict_sources``: here a named one gives an error, and those in
    folders are passed over.

    Args:
        sources: Images, folders (searched recursively), globs and ``SourceImage``s, or a single
            one.
        config: How.

    Raises:
        ConfigError: No such weights, device or settings.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device or the detector's libraries are not here, or the engine fails
            on a batch.
        TypeError: Something else is among the sources.
    """
    for image in predict_images(sources, config):
        yield from image.rows()


def predict_images(sources: Sources, config: PredictConfig) -> Iterator[ImagePrediction]:
    """Predict the emotion of every face; one result per image, in the order of the sources.

    When errors come, what each call opens, and what becomes of videos: as ``predict`` says.

    Args:
        sources: Images, folders (searched recursively), globs and ``SourceImage``s, or a single
            one.
        config: How.

    Raises:
        ConfigError: No such weights, device or settings.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device or the detector's libraries are not here, or the engine fails
            on a batch.
        TypeError: Something else is among the sources.
    """
    yield from open_predictor(config).predict(sources)


def open_predictor(config: PredictConfig) -> "Predictor":
    """Open the detector and the network at once, for neither needs Python while it loads.

    Raises:
        ConfigError: No such weights, device or settings.
        CheckpointError: The weights are damaged or foreign.
        BackendUnavailable: The device or the detector's libraries are not here.
    """
    pool = ThreadPoolExecutor(1)
    try:
        opening = pool.submit(
            open_runtime,
            config.weights,
            device=config.device,
            threads=config.threads,
            provider=config.provider,
        )
        detector = open_detector(
            config.detector,
            threads=config.threads,
            long_side=config.long_side,
            min_score=config.min_score,
            engine=_DETECTOR_ENGINES.get(config.provider, DetectorEngine.CPU),
        )
        runtime = opening.result()
    finally:
        # A command that is stopped while torch loads need not wait for that.
        pool.shutdown(wait=False)
    return Predictor(detector, MirroredRuntime(runtime) if config.flip else runtime, config)


class Predictor:
    """A detector and a network that answer a stream of images in batches.

    Several threads may ask one predictor at once.

    Args:
        detector: Finds the faces.
        runtime: Recognises the emotions.
        config: Thresholds and batch size.
    """

    def __init__(self, detector: Detector, runtime: Runtime, config: PredictConfig) -> None:
        self.detector = detector
        self.runtime = runtime
        self._config = config
        self._min_score = (
            detector.min_score_predict if config.min_score is None else config.min_score
        )
        self._workers = min(config.threads or available_cpus(), MOST_AT_ONCE)

    def predict(self, images: Sources, *, copy: bool = True) -> Iterator[ImagePrediction]:
        """Answer images in order, their faces recognised in batches across images.

        Answers come up to two batches late. For a live camera ``batch=1`` in ``PredictConfig`` is
        the choice: an answer then waits only for the few frames that are looked at at once.

        Args:
            images: What ``predict`` takes. They are taken from the stream a few ahead.
            copy: Copy pixels as they come, so that one array may be filled anew for each frame, as
                cameras' programs do. False saves that where each image has an array of its own.

        Raises:
            TypeError: Something else is among them.
            BackendUnavailable: The engine fails on a batch, for example for lack of memory.
            CheckpointError: The network answers with values that are not finite.
            ConfigError: The process was forked since OpenVINO opened the network or the detector.
        """
        listed = list_sources(images)
        stream = map(_copied, listed) if copy else listed
        lookers = ThreadPoolExecutor(self._workers)
        # One thread, for an engine spreads each batch over the cores itself.
        network = ThreadPoolExecutor(1)
        looking: deque[tuple[int, Future[_Waiting]]] = deque()
        recognising: deque[Future[list[ImagePrediction]]] = deque()
        waiting: list[_Waiting] = []
        try:
            while True:
                while len(looking) <= self._workers and _pixels_of(looking) < AHEAD_PIXELS:
                    image = next(stream, None)
                    if image is None:
                        break
                    looking.append((count_source_pixels(image), lookers.submit(self._look, image)))
                if not looking:
                    break
                waiting.append(looking.popleft()[1].result())
                if self._is_full(waiting):
                    recognising.append(network.submit(self._recognise, waiting))
                    waiting = []
                # One batch is recognised while the next one's faces are found.
                while recognising and (len(recognising) > 1 or recognising[0].done()):
                    yield from recognising.popleft().result()
            recognising.append(network.submit(self._recognise, waiting))
            while recognising:
                yield from recognising.popleft().result()
        finally:
            lookers.shutdown(wait=False, cancel_futures=True)
            network.shutdown(wait=False, cancel_futures=True)

    def _look(self, image: SourceImage | Path) -> "_Waiting":
        """Read an image if need be, find its faces and make their pairs."""
        read = read_source(image) if isinstance(image, Path) else image
        if read.image is None:
            return _Waiting(read if read.reason is not None else _without_pixels(read))
        try:
            found = _inside(self.detector.detect(read.image).at_least(self._min_score), read.image)
            pairs = [make_pair(read.image, box) for box, _ in found]
        except DataError as error:
            return _Waiting(SourceImage.failed(read.source, error))
        # Pillow's own pixels are read-only, and these are to be drawn on.
        kept = np.require(read.image, requirements=["C", "W"]) if self._config.keep_images else None
        return _Waiting(SourceImage(read.source, kept), found, pairs)

    def _is_full(self, waiting: "list[_Waiting]") -> bool:
        pixels = sum(w.read.image.size // 3 for w in waiting if w.read.image is not None)
        faces = sum(len(w.pairs) for w in waiting)
        return max(faces, len(waiting)) >= self._config.batch or pixels >= HELD_PIXELS

    def _recognise(self, waiting: "list[_Waiting]") -> list[ImagePrediction]:
        """Run the network on all pairs of the waiting images."""
        answers = self._answers([pair for image in waiting for pair in image.pairs])
        return [
            ImagePrediction(
                image.read.source,
                self.runtime.metadata.classes,
                tuple(FacePrediction(box, score, *next(answers)) for box, score in image.found),
                image.read.reason,
                image.read.remedy,
                image.read.image,
            )
            for image in waiting
        ]

    def _answers(
        self, pairs: list[Pair]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Probabilities, attention and stream weights of each pair."""
        for start in range(0, len(pairs), self._config.batch):
            batch = pairs[start : start + self._config.batch]
            output = self.runtime(
                np.stack([pair.face for pair in batch]), np.stack([pair.context for pair in batch])
            )
            yield from zip(
                output.probabilities, output.attention, output.stream_weights, strict=True
            )


@dataclass(frozen=True, eq=False)
class _Waiting:
    """An image whose faces wait for the network."""

    read: SourceImage
    found: Sequence[tuple[Box, float]] = ()
    pairs: Sequence[Pair] = ()


def _without_pixels(image: SourceImage) -> SourceImage:
    """Say so of an image that came without, as cameras and OpenCV's ``imread`` give None."""
    what = f"{image.source} has no pixels"
    return SourceImage.failed(image.source, DataError(what, "Find out why reading it gave none."))


def _copied(image: SourceImage | Path) -> SourceImage | Path:
    # What is no array is told of when it is looked at.
    if isinstance(image, Path) or not isinstance(image.image, np.ndarray):
        return image
    return replace(image, image=image.image.copy())


def _pixels_of(looking: Iterable[tuple[int, object]]) -> int:
    return sum(pixels for pixels, _ in looking)


def _inside(faces: Faces, image: NDArray[np.uint8]) -> list[tuple[Box, float]]:
    """Clip boxes to the image; faces of which no pixel is left are dropped."""
    kept = []
    for box, score in zip(faces.boxes, faces.scores, strict=True):
        try:
            clipped = clip_box(round_box(box), *image.shape[:2])
        except DataError:
            continue
        if clipped != NO_FACE:
            kept.append((clipped, float(score)))
    return kept
