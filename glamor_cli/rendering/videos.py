"""Pictures of a run with videos: images as always, and of each video an annotated one.

Beside ``clip-emotions.mp4`` lies ``clip-timeline.png``.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.predict.predictor import ImagePrediction
from glamor_cli.predict.saved_names import SAVED_TIMELINE, SAVED_VIDEO
from glamor_cli.predict.sources import Sources
from glamor_cli.predict.timeline import Timeline
from glamor_cli.predict.video import FramePrediction
from glamor_cli.rendering.annotate import Label, PictureFolder, draw_labels
from glamor_cli.rendering.colours import emotion_colour
from glamor_cli.rendering.insets import Style, draw_box, scale_box
from glamor_cli.rendering.timeline import save_timeline
from glamor_cli.rendering.video_writer import even_size, write_video
from glamor_cli.system.undisturbed import undisturbed

_LONG_SIDE = (640, 1920)
"""Annotated videos keep their size within these bounds of the longer side, in pixels."""


def annotate_frame(prediction: FramePrediction, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw one frame's people: boxes, numbers and smoothed emotions.

    Args:
        prediction: With its ``image``.
        size: Width and height of the result in pixels.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        ValueError: The prediction carries no image.
    """
    if prediction.image is None:
        raise ValueError("the prediction carries no image: predict with keep_images")
    picture, scale = _fit_to(Image.fromarray(prediction.image), size)
    style = Style.of(max(size))
    labels = []
    for face, person in zip(prediction.faces, prediction.people, strict=True):
        best = int(person.probabilities.argmax())
        colour = emotion_colour(prediction.classes, best)
        box = scale_box(face.box, scale)
        draw_box(picture, box, colour, style.line)
        name = f"{person.track} {prediction.classes[best]}"
        full = f"{name} {person.probabilities[best]:.0%}"
        labels.append(Label((full, name, str(person.track)), box, colour))
    draw_labels(picture, labels, size, style)
    return np.asarray(picture)


def _fit_to(picture: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, float]:
    """Bring a frame to the video's size; give the factor too."""
    across, down = size[0] / picture.width, size[1] / picture.height
    scale = min(across, down)
    fitted = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if size[0] - fitted[0] <= 2 and size[1] - fitted[1] <= 2:
        # Encoders take even sides only; nobody sees a frame pulled by a pixel.
        fitted = size
    if fitted != picture.size:
        picture = picture.resize(fitted, Image.Resampling.BILINEAR, reducing_gap=2.0)
    if fitted == size:
        return picture, scale
    # The frames' shape has changed in the middle of the video.
    canvas = Image.new("RGB", size)
    canvas.paste(picture)
    return canvas, scale


class VideoFolder(PictureFolder):
    """Saves annotated images, annotated videos and timelines into one folder.

    A video is saved when its last frame has come, or when the block ends, also by Ctrl-C: then it
    ends with the last frame that came. If the block raises an error, what was not complete is not
    left behind. If it ends without one and nothing was saved, nor is the folder that was made.

    Args:
        folder: Made if it is missing.
        sources: What is looked at, as for ``predict``; none of its files is written over.
        threads: CPU threads of the encoder; None takes up to 4.

    Raises:
        ConfigError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, sources: Sources = (), *, threads: int | None = None) -> None:
        super().__init__(folder, sources)
        self._threads = threads
        self._open: _OpenVideo | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._finish()
        elif self._open is not None:
            self._open.discard(kind, error, traceback)
        if kind is None:
            self.leave_nothing_empty()

    def save(self, prediction: ImagePrediction) -> Path | None:
        """Annotate and save an image, or go on with a video.

        Returns:
            The picture or video, unless nothing could be read.

        Raises:
            ConfigError: The folder cannot be written to.
        """
        if self._open is not None and not self._open.goes_on_with(prediction):
            self._finish()
        if not isinstance(prediction, FramePrediction):
            return super().save(prediction)
        if prediction.image is None:
            return None
        if self._open is None:
            self._open = _OpenVideo(
                prediction,
                self.path(prediction.source, SAVED_VIDEO),
                self.path(prediction.source, SAVED_TIMELINE),
                self._threads,
            )
        self._open.add(prediction)
        return self._open.path

    def _finish(self) -> None:
        # Otherwise a Ctrl-C between video and timeline would leave one without the other.
        with undisturbed():
            ended, self._open = self._open, None
            for path in ended.finish() if ended is not None else ():
                self.count(path)


class _OpenVideo:
    """One video on its way out."""

    def __init__(
        self, first: FramePrediction, path: Path, timeline: Path, threads: int | None
    ) -> None:
        assert first.image is not None  # noqa: S101 - save() has checked
        self.path = path
        self._source = first.source
        self._frame = -1
        self._timeline_path = timeline
        self._timeline = Timeline(first.classes)
        height, width = first.image.shape[:2]
        self._size = even_size(width, height, _LONG_SIDE)
        self._files = ExitStack()
        self._writer = self._files.enter_context(write_video(path, self._size, threads=threads))

    def goes_on_with(self, prediction: ImagePrediction) -> bool:
        """Say whether an answer is one of this video's next ones."""
        return (
            isinstance(prediction, FramePrediction)
            and prediction.source == self._source
            and prediction.frame > self._frame
        )

    def add(self, prediction: FramePrediction) -> None:
        self._writer.write(annotate_frame(prediction, self._size), prediction.time)
        self._timeline.add(prediction.time, prediction.people)
        self._frame = prediction.frame

    def finish(self) -> tuple[Path, ...]:
        """Complete the video, and draw the timeline if it shows anybody; gives what was saved."""
        self._files.close()
        if not self._timeline.lines():
            return (self.path,)
        save_timeline(self._timeline_path, self._timeline, Path(self._source).name)
        return self.path, self._timeline_path

    def discard(
        self,
        kind: type[BaseException],
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, traceback)
