"""From videos to answers: frames → faces → tracks → smoothed emotions, beside images in one call.

Frames pass through the same predictor as images, in the same batches. Memory does not grow with a
video's length: a batch of frames is held, a thumbnail, and the tracks that have not ended.
"""

import glob
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from glamor_cli.errors import DataError
from glamor_cli.files.kinds import is_file
from glamor_cli.predict.following import FrameFollower, FramePlace
from glamor_cli.predict.predictions import ImagePrediction
from glamor_cli.predict.predictor import PredictConfig, Predictor, open_predictor
from glamor_cli.predict.rows import COLUMNS, VIDEO_COLUMNS
from glamor_cli.predict.saved_names import is_saved
from glamor_cli.predict.sources import Source, SourceImage, Sources, each_source, list_sources
from glamor_cli.system.extras import install_extra
from glamor_cli.vision.ffmpeg import has_av, import_av
from glamor_cli.vision.image_files import IMAGE_SUFFIXES, Report, list_files, list_images
from glamor_cli.vision.options import EVERY_FRAME, TRACKING, Sampling, TrackingConfig
from glamor_cli.vision.video_reader import (
    VIDEO_SUFFIXES,
    is_really_video,
    is_video,
    read_video,
)


@dataclass(frozen=True)
class VideoConfig:
    """What is particular to videos.

    Attributes:
        sampling: Which frames are looked at.
        tracking: How faces are followed and their emotions smoothed.
    """

    sampling: Sampling = EVERY_FRAME
    tracking: TrackingConfig = TRACKING


def choose_columns(
    sources: str | Path | Sequence[str | Path],
) -> tuple[tuple[str, ...], str | None]:
    """Choose the rows' columns, which are those of videos where there is one among the sources.

    Folders and globs are searched, up to the first one.

    Args:
        sources: Images, folders, globs and videos, or a single one.

    Returns:
        ``COLUMNS`` or ``VIDEO_COLUMNS``; and, where videos are passed over because PyAV is missing,
        a sentence that says so, else None.
    """
    listed = list(each_source(sources))
    named = any(map(_names_video, listed))
    if not named and not any(_holds_video(source) for source in listed):
        return COLUMNS, None
    if named or has_av():
        return VIDEO_COLUMNS, None
    return COLUMNS, (
        "videos in folders are left out: they need PyAV, which is not installed. "
        f"{install_extra('video')}"
    )


def predict_sources(
    sources: Sources,
    config: PredictConfig,
    video: VideoConfig = VideoConfig(),
    on_saved: Callable[[Path], None] = lambda _: None,
    *,
    on_named: Callable[[Path], None] = lambda _: None,
    on_unread: Callable[[Path], None] = lambda _: None,
) -> Iterator[ImagePrediction]:
    """Predict the emotion of every face in images and videos, in the order of the sources.

    Videos are sources that are named like one, globs that end like one (``clips/*.mp4``), and what
    folders and other globs hold of them. Without PyAV those found are left out, and those named
    are an error. What cannot be read of a video is told by one last result with a ``reason``,
    after the frames that could be. Nothing is done, and no error raised, before the first result is
    asked for.

    Args:
        sources: Images, folders, globs, videos and ``SourceImage``s, or a single one; all are
            taken from what gives them before the first is looked at.
        config: How to predict.
        video: How to go through videos.
        on_saved: Called with each file of a folder or glob that is passed over because an earlier
            run saved it.
        on_named: Called with each file that an earlier run saved and that is itself a source.
        on_unread: Called with each picture of a folder or glob that is of a kind that is not read.

    Yields:
        An ``ImagePrediction`` for an image, a ``FramePrediction`` for each frame looked at.

    Raises:
        ConfigError: No such weights, device or settings.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device, the detector's libraries or PyAV are not here, or the engine
            fails on a batch.
        TypeError: Something else is among the sources.
    """
    sources = list(each_source(sources))
    if any(map(_names_video, sources)):
        import_av()
    predictor = open_predictor(config)
    list_source = _list_media if has_av() else list_images
    files = list_sources(sources, list_source, on_saved, on_named=on_named, on_unread=on_unread)
    for are_videos, group in groupby(files, _is_video_file):
        if not are_videos:
            yield from predictor.predict(group)
            continue
        for path in group:
            assert isinstance(path, Path)  # noqa: S101 - _is_video_file has seen it
            yield from _predict_video(path, predictor, config, video)


def _list_media(source: Path, report: Report, on_unread: Callable[[Path], None]) -> Iterator[Path]:
    """List the images and videos of a source; what is named like a video is one, even if missing.

    Raises:
        DataError: There is no such source, a folder cannot be read, or nothing is in it.
    """
    if not _names_video(source):
        return list_files(
            source,
            IMAGE_SUFFIXES | VIDEO_SUFFIXES,
            "images or videos",
            report,
            on_unread,
            is_of_kind=is_really_video,
        )
    if glob.has_magic(str(source)) and not is_file(source):
        return list_files(source, VIDEO_SUFFIXES, "videos", report)
    return iter((source,))


def _names_video(source: Source) -> bool:
    """Say whether a source is a file named like a video; folders may have such names too."""
    if isinstance(source, SourceImage):
        return False
    return is_video(source) and not os.path.isdir(source)  # noqa: PTH112 - takes any name


def _holds_video(source: Source) -> bool:
    """Search a folder or glob up to its first video."""
    if isinstance(source, SourceImage):
        return False
    try:
        if is_file(Path(source)):
            return False
        found = list_files(
            Path(source), VIDEO_SUFFIXES, "videos", lambda _: None, is_of_kind=is_really_video
        )
        return any(not is_saved(path) for path in found)
    except (DataError, OSError):  # none, or no such source, which the run will report
        return False


def _is_video_file(found: Path | SourceImage) -> bool:
    return isinstance(found, Path) and is_video(found)


def _predict_video(
    path: Path, predictor: Predictor, config: PredictConfig, video: VideoConfig
) -> Iterator[ImagePrediction]:
    """Answer one video's frames, and say at the end what of it could not be read."""
    follower = FrameFollower(video.tracking)
    # The predictor answers in order, a batch later.
    ahead: deque[FramePlace | None] = deque()

    def frames() -> Iterator[SourceImage]:
        try:
            for frame in read_video(path, video.sampling, threads=config.threads):
                ahead.append(follower.place(frame))
                yield SourceImage(str(path), frame.image)
        except DataError as error:
            ahead.append(None)
            yield SourceImage.failed(path, error)

    for answer in predictor.predict(frames(), copy=False):
        place = ahead.popleft()
        yield answer if place is None else follower.follow(answer, place)
