"""Writing a video file, frame by frame; it appears when it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.files.atomic import atomic_path, cannot_write
from glamor_cli.predict.saved_names import MARK
from glamor_cli.system.undisturbed import undisturbed
from glamor_cli.vision.ffmpeg import import_av

_TICK = Fraction(1, 60_000)
"""Seconds in a unit of time: fine enough for any rate, and MPEG-4 has 16 bits for it."""
_LONGEST_SHOWN = round(3600 / _TICK)
"""Units of time between two frames, at most. MP4 has 31 bits for several of them, and joined
recordings may jump by any time."""
_ALONE_SHOWN = round(1 / _TICK)
"""Units of time for which a video's only picture is shown."""
_CODECS = (
    # The lookahead is the encoder's memory; ten frames lose little.
    ("libx264", {"preset": "veryfast", "crf": "20", "rc-lookahead": "10"}),
    ("mpeg4", {"qscale": "3"}),
)
_BT709 = 1
_LIMITED = 1
"""FFmpeg's numbers of what players expect: AVCOL_SPC_BT709 and its like, AVCOL_RANGE_MPEG."""
_MOST_THREADS = 4


class VideoWriter:
    """Encodes frames of one size; made by ``write_video``."""

    def __init__(self, path: Path, size: tuple[int, int], threads: int | None) -> None:
        self._av = import_av()
        self._container = self._av.open(
            f"file:{path.absolute()}", "w", format="mp4", options={"movflags": "faststart"}
        )
        self._container.metadata["comment"] = MARK
        codec, options = next(entry for entry in _CODECS if entry[0] in self._av.codecs_available)
        # Stills have no rate; frames bring their own times.
        self._stream = self._container.add_stream(codec, rate=30, options=options)
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = _TICK
        context.flags |= self._av.codec.context.Flags.frame_duration
        context.thread_count = min(threads or _MOST_THREADS, _MOST_THREADS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._last = -1
        self._left_out = 0
        # The last frame is held until it is known for how long it is shown.
        self._held: Any = None
        self._shown = _ALONE_SHOWN

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Add a frame, which is shown until the next; the last one as long as that before it.

        Args:
            image: uint8 [H, W, 3], RGB, of the writer's size.
            time: When it is shown, in seconds; later than the last one. A gap of more than an hour
                counts as an hour.
        """
        frame = self._reformatter.reformat(
            self._av.VideoFrame.from_ndarray(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace="itu709",
            dst_color_range=_LIMITED,
            threads=1,
        )
        step = max(1, round(time / _TICK) - self._left_out - self._last)
        self._left_out += max(0, step - _LONGEST_SHOWN)
        step = min(step, _LONGEST_SHOWN)
        self._last += step
        frame.pts, frame.time_base = self._last, _TICK
        # What the encoder gives is lost if a Ctrl-C comes before it is written.
        with undisturbed():
            if self._held is not None:
                self._shown = step
                self._encode_held()
            self._held = frame

    def finish(self) -> None:
        """Encode what is still held and complete the file."""
        with undisturbed():
            if self._held is not None:
                self._encode_held()
            self._container.mux(self._stream.encode(None))
            self.release()

    def _encode_held(self) -> None:
        self._held.duration = self._shown
        self._container.mux(self._stream.encode(self._held))

    def release(self) -> None:
        """Let go of the file, whole or not."""
        self._container.close()


@contextmanager
def write_video(
    path: Path, size: tuple[int, int], *, threads: int | None = None
) -> Iterator[VideoWriter]:
    """Write a video, H.264 in MP4 (MPEG-4 where PyAV has no H.264 encoder).

    If the block raises, nothing is left under the file's name.

    Args:
        path: The file.
        size: Width and height in pixels, both even.
        threads: CPU threads of the encoder, at most; None takes up to 4.

    Raises:
        ConfigError: The file cannot be written.
        BackendUnavailable: PyAV is not installed.
    """
    av = import_av()
    with atomic_path(path) as temporary:
        try:
            writer = VideoWriter(temporary, size, threads)
            try:
                yield writer
                writer.finish()
            finally:
                writer.release()
        except av.FFmpegError as error:
            raise cannot_write(path, error.strerror) from error
