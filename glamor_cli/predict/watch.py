"""From a camera to answers: its newest frame → faces → people → smoothed emotions, until it ends.

One frame is looked at after the other, each when the one before it is answered, so that an answer
is never about what was seen long ago.
"""

import time
from collections.abc import Callable, Iterable, Iterator

from glamor_cli.errors import DataError
from glamor_cli.predict.following import FrameFollower, FramePrediction
from glamor_cli.predict.predictor import PredictConfig, Predictor, open_predictor
from glamor_cli.predict.sources import SourceImage
from glamor_cli.vision.camera import Camera
from glamor_cli.vision.frames import Frame
from glamor_cli.vision.options import TRACKING, WATCHING, TrackingConfig, WatchConfig


def watch(
    address: str,
    config: PredictConfig,
    watching: WatchConfig = WATCHING,
    on_lost: Callable[[DataError], None] = lambda _: None,
) -> Iterator[FramePrediction]:
    """Say who is before a camera and what their faces say, as it happens.

    Nothing is done, and no error raised, before the first answer is asked for. Who comes after a
    camera was lost and opened again has new numbers.

    Args:
        address: ``rtsp://host/path`` or its like, or ``/dev/video0`` on Linux.
        config: How to predict.
        watching: How to watch.
        on_lost: Called with each loss that is followed by another attempt.

    Raises:
        ConfigError: No such address, weights, device or settings.
        DataError: The camera cannot be opened, or is lost, and is not to be tried again; or it sent
            nothing in the time that was given.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: PyAV, the device or the detector's libraries are not here, or the engine
            fails.
    """
    camera = Camera(
        address, every=watching.every, patience=watching.patience, threads=config.threads
    )
    predictor, follower = open_predictor(config), FrameFollower(watching.tracking)
    until = None if watching.duration is None else time.monotonic() + watching.duration
    while True:
        try:
            yield from _look(camera.name, camera.frames(until=until), predictor, follower)
            lost = DataError(f"{camera.name} has ended", "Use --retry 5s to open it again.")
        except DataError as error:
            if watching.retry is None or _has_passed(until):
                raise
            lost = error
        if watching.retry is None or _has_passed(until):
            return
        on_lost(lost)
        follower.cut()
        left = watching.retry if until is None else min(watching.retry, until - time.monotonic())
        time.sleep(max(0.0, left))


def follow_frames(
    source: str,
    frames: Iterable[Frame],
    predictor: Predictor,
    tracking: TrackingConfig = TRACKING,
) -> Iterator[FramePrediction]:
    """Look at frames one after the other, as they are given, and follow the people in them.

    For cameras that another program reads. Each frame is answered before the next is asked for.

    Args:
        source: What the rows call it.
        frames: Their times must rise. The array of one may be filled anew for the next.
        predictor: As ``open_predictor`` gives it.
        tracking: How faces are followed and their emotions smoothed.

    Raises:
        BackendUnavailable: The engine fails.
        CheckpointError: The network answers with values that are not finite.
        ConfigError: The process was forked since OpenVINO opened the network or the detector.
    """
    yield from _look(source, frames, predictor, FrameFollower(tracking), copy=True)


def _look(
    source: str,
    frames: Iterable[Frame],
    predictor: Predictor,
    follower: FrameFollower,
    *,
    copy: bool = False,
) -> Iterator[FramePrediction]:
    for frame in frames:
        place = follower.place(frame)
        (answer,) = predictor.predict(SourceImage(source, frame.image), copy=copy)
        yield follower.follow(answer, place)


def _has_passed(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until
