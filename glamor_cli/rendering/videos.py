"""Pictures of a run with videos: images as always, and of each video an annotated one.

Beside ``clip-emotions.mp4`` lies ``clip-timeline.png``.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.predictions import ImagePrediction
from glamor_cli.predict.saved_names import SAVED_TIMELINE, SAVED_VIDEO
from glamor_cli.predict.sources import Sources
from glamor_cli.predict.timeline import Timeline
from glamor_cli.rendering.annotate import PictureFolder
from glamor_cli.rendering.frames import annotate_frame, frame_size
from glamor_cli.rendering.timeline import save_timeline
from glamor_cli.rendering.video_writer import write_video
from glamor_cli.system.undisturbed import undisturbed


class VideoFolder(PictureFolder):
    """Saves annotated images, annotated videos and timelines into one folder.

    A video is saved when its last frame has come, or when the block ends, also by Ctrl-C: then it
    ends with the last frame that came. If the block raises an error, what was not complete is not
    left behind. If it ends without one and nothing was saved, nor is the folder that was made.

    Args:
        folder: Made if it is missing.
        sources: What is looked at, as for ``predict``, but no iterator, which would be used up
            here; none of its files is written over.
        threads: CPU threads of the encoder; None takes up to 4.

    Raises:
        ConfigError: The folder cannot be made or written to.
        TypeError: The sources are an iterator, or something else is among them.
    """

    def __init__(self, folder: Path, sources: Sources = (), *, threads: int | None = None) -> None:
        super().__init__(folder, sources)
        self._threads = threads
        self._open: _OpenVideo | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._finish()
        elif self._open is not None:
            self._open.files.__exit__(kind, *details)
        if kind is None:
            self.leave_nothing_empty()

    def save(self, prediction: ImagePrediction) -> Path | None:
        """Annotate and save an image, or go on with a video.

        Returns:
            The picture or video, unless nothing could be read.

        Raises:
            ConfigError: The folder cannot be written to.
            BackendUnavailable: PyAV, which writes videos, is not installed.
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
    """One video on its way out.

    Attributes:
        path: Where it will lie.
        files: What is open for it; left by an error, it leaves no file.
    """

    def __init__(
        self, first: FramePrediction, path: Path, timeline: Path, threads: int | None
    ) -> None:
        assert first.image is not None  # noqa: S101 - save() has checked
        self.path = path
        self._source = first.source
        self._frame = -1
        self._timeline_path = timeline
        self._timeline = Timeline(first.classes)
        self._size = frame_size(first.image)
        self.files = ExitStack()
        self._writer = self.files.enter_context(write_video(path, self._size, threads=threads))

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
        self.files.close()
        if not self._timeline.lines():
            return (self.path,)
        save_timeline(self._timeline_path, self._timeline, Path(self._source).name)
        return self.path, self._timeline_path
