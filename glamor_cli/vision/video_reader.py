"""Reading the frames of a video file, one at a time: whatever is in the file, RGB or one error.

The decoder is FFmpeg's, through PyAV (the extra ``video``). Only one frame is held, besides what
the decoder itself needs, however long the video is.
"""

import math
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from glamor_cli.errors import DataError
from glamor_cli.files.reading import open_file
from glamor_cli.vision.ffmpeg import (
    choose_stream,
    decoder_reason,
    import_av,
    limit_pixels,
    tolerate_any_text,
)
from glamor_cli.vision.frame_pixels import FramePixels
from glamor_cli.vision.frames import Frame, FrameChoice
from glamor_cli.vision.options import EVERY_FRAME, Sampling
from glamor_cli.vision.sample_tables import announces_too_much
from glamor_cli.vision.video_clock import BROADCASTS, FAR_BACK, VideoClock

VIDEO_SUFFIXES = frozenset(
    {
        ".3g2",
        ".3gp",
        ".asf",
        ".avi",
        ".dv",
        ".flv",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogv",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    }
)
"""What a video's name ends in (in lower case)."""
_TYPESCRIPT_TOO = frozenset({".ts", ".mts"})

# Containers that hold their own frames. Playlists, which name other files, are not among them.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,dv"
_PACKET_BYTES = (188, 192, 204)
"""Of transport streams: usual ones, cameras' with their clock, and those with parity."""
_SYNC = b"\x47" * 4
"""One such byte is in each packet; four at a packet's distance are no accident."""
_MOST_THREADS = 4
_FRAME_THREADS_PIXELS = 3840 * 2176
"""Larger frames are not decoded several at once: each of the threads would hold some."""
_LENGTH_FROM_ZERO = {"matroska", "asf", "flv"}
"""Formats whose length is the last time in them, and not what lies between first and last."""
_FLV_SOUND = 4
"""A bit of the fifth byte of an FLV file."""
_SHORTFALL = (0.5, 0.01)
"""A file ends early if this many seconds, and this share of its length, are missing."""
_NEAR_A_JOIN = 4
"""Packets before a join among which one that looks damaged tells only of the join."""
_HALF_A_TURN = 2**32 / 90_000
"""Seconds of a broadcast's clock: by more it leaps only where FFmpeg takes a fall for its turn."""
_UNKNOWN_COUNT = 1 << 30
"""Frames of which an AVI's header speaks while they are being recorded."""
_RIFF_BYTES = 1 << 30
"""Of an AVI: a larger one has further parts, which FFmpeg does not miss where they are cut off."""


def is_video(source: str | Path) -> bool:
    """Say whether a source's name ends like a video's."""
    return Path(source).suffix.lower() in VIDEO_SUFFIXES


def is_really_video(path: Path) -> bool:
    """Tell the recordings of cameras and televisions from TypeScript, whose names end alike.

    Args:
        path: A file named like a video. Only one whose ending TypeScript has too is opened.

    Returns:
        Whether it is a video by its name, and where that may mislead by its beginning. What cannot
        be opened then is no video.
    """
    if path.suffix.lower() not in _TYPESCRIPT_TOO:
        return True
    try:
        with open_file(path) as file:
            head = file.read(max(_PACKET_BYTES) * len(_SYNC))
    except OSError:
        return False
    # A recording that was cut out of another may begin within a packet.
    return any(
        head[place::size][: len(_SYNC)] == _SYNC for size in _PACKET_BYTES for place in range(size)
    )


def read_video(
    path: str | Path, sampling: Sampling = EVERY_FRAME, *, threads: int | None = None
) -> Iterator[Frame]:
    """Read a video's frames in the order of showing.

    Frames are turned upright as the file says, and made as wide as they are meant to be shown.
    Times are the file's own, so a variable frame rate is followed. What a damaged file holds is
    read; only then the error is raised.

    Args:
        path: The file. Playlists and files that refer to others are refused.
        sampling: Which frames are wanted; the others are decoded, since later ones need them, but
            not converted.
        threads: CPU threads of the decoder, at most; None takes up to 4.

    Raises:
        DataError: There is no such file, it holds no video, its frames are too large, or a part
            of it could not be read.
        BackendUnavailable: PyAV is not installed.
    """
    av, path = import_av(), Path(path)
    with _open(path) as container:
        yield from _Reader(av, path, container, threads).frames(sampling)


def read_comment(path: str | Path) -> str | None:
    """Read the comment that a video carries, without decoding anything; None without one.

    Raises:
        DataError: There is no such file, or it holds no video.
        BackendUnavailable: PyAV is not installed.
    """
    with _open(Path(path)) as container:
        comment: str | None = container.metadata.get("comment")
    return comment


def _open(path: Path) -> Any:
    """Open a container; raises DataError and BackendUnavailable, as `read_video` says."""
    av = import_av()
    _check_file(path)
    try:
        return av.open(
            # The prefix keeps names like "concat:x" from being taken for another protocol's.
            f"file:{path.absolute()}",
            options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            **tolerate_any_text(av),
        )
    except Exception as error:
        # On hostile bytes nearly anything is raised, ValueError and MemoryError included.
        raise DataError(
            f"{path} is not a video, or its beginning or end is damaged: {decoder_reason(error)}",
            "Give MP4, MOV, Matroska, WebM, AVI, MPEG, FLV, Ogg or ASF files.",
        ) from error


class _Reader:
    """Reads an open file and keeps account of what is wrong with it."""

    def __init__(self, av: Any, path: Path, container: Any, threads: int | None) -> None:
        self._path = path
        self._container = container
        self._stream = choose_stream(av, path, container)
        self._clock = VideoClock(self._stream, container)
        self._pixels = FramePixels(av, str(path), self._stream)
        self._damaged = 0
        self._why = ""
        self._broken: str | None = None
        self._ends = 0.0
        self._own_place = 0
        self._other_places: dict[int, int] = {}
        context = self._stream.codec_context
        limit_pixels(context, path)
        pixels = context.width * context.height
        context.thread_count = min(threads or _MOST_THREADS, _MOST_THREADS)
        context.thread_type = "AUTO" if pixels <= _FRAME_THREADS_PIXELS else "SLICE"

    def frames(self, sampling: Sampling) -> Iterator[Frame]:
        index, wanted = 0, FrameChoice(sampling)
        for decoded in self._decoded():
            time = self._clock.time(decoded)
            if wanted(index, time):
                try:
                    image = self._pixels.rgb(decoded)
                except DataError:
                    raise
                except Exception as error:
                    self._note_damage(error)
                else:
                    yield Frame(index, time, image)
            index += 1
        self._raise_what_was_wrong(index)

    def _decoded(self) -> Iterator[Any]:
        """Decode what can be decoded, passing over what cannot."""
        seen_key = False
        flags = _Flags()
        try:
            # The other streams' packets say how far the file goes; they are not decoded.
            for packet in self._container.demux():
                self._note_end(packet)
                self._note_place(packet)
                # Not the packet's own index: the empty ones that flush the decoders have none.
                if packet.stream.index != self._stream.index:
                    continue
                seen_key = seen_key or packet.is_keyframe
                flags.move_to(packet)
                try:
                    decoded = packet.decode()
                except Exception as error:
                    # Before its first key frame a recording cut out of another decodes to nothing.
                    if seen_key:
                        self._note_damage(error)
                    continue
                if any(frame.is_corrupt for frame in decoded):
                    self._damaged += 1
                elif packet.is_corrupt:
                    flags.add()
                yield from decoded
        except IndexError:
            # PyAV's, at the end, where a stream began on the way: ours came before it, and how far
            # the other goes is not known.
            self._ends = math.inf
        except Exception as error:
            self._broken = decoder_reason(error)
        self._damaged += flags.count

    def _note_damage(self, error: Exception) -> None:
        self._damaged += 1
        self._why = decoder_reason(error)

    def _note_end(self, packet: Any) -> None:
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and packet.time_base:
            self._ends = max(self._ends, float((stamp + (packet.duration or 0)) * packet.time_base))

    def _note_place(self, packet: Any) -> None:
        """Note where in the file its own last picture lies, and the first of each other stream."""
        if packet.pos is None or packet.stream.type != "video":
            return
        if packet.stream.index == self._stream.index:
            self._own_place = packet.pos
        else:
            self._other_places.setdefault(packet.stream.index, packet.pos)

    def _goes_on(self) -> bool:
        """Say whether another stream's pictures begin where those that were read have ended.

        Broadcasts may change the stream between programmes. Covers and other views lie elsewhere.
        """
        is_broadcast = self._container.format.name in BROADCASTS
        return is_broadcast and max(self._other_places.values(), default=0) > self._own_place

    def _raise_what_was_wrong(self, frames: int) -> None:
        if not frames:
            why = self._broken or self._why
            raise DataError(
                f"{self._path} holds no frame that can be decoded" + (f": {why}" if why else ""),
                "Replace the file, or leave it out.",
            )
        parts = []
        if self._broken:
            parts.append(f"it breaks off after {self._clock.last:.2f} s: {self._broken}")
        elif (missing := self._missing()) is not None:
            parts.append(f"it ends after {self._clock.last:.2f} s of {missing:.2f} s")
        if self._damaged:
            parts.append(f"{self._damaged} of its parts have errors")
        if self._goes_on():
            parts.append(f"after {self._clock.last:.2f} s it goes on in a stream that is not read")
        if parts:
            raise DataError(
                f"{self._path} is damaged: {', and '.join(parts)}",
                "What could be read was used; replace the file for the rest.",
            )

    def _missing(self) -> float | None:
        """Give the length that the file claims, if it ends before."""
        kinds = set(self._container.format.name.split(","))
        # A recording into a pipe, or one that was not finished, claims nothing. FFmpeg then guesses
        # a Matroska's length by its bit rates, and gives it to the streams, which know none.
        if "matroska" in kinds and self._stream.duration is not None:
            return None
        if "avi" in kinds and self._stream.frames >= _UNKNOWN_COUNT:
            return None
        # PyAV 19 passes over sound that begins on the way, and how far it goes is not known.
        if "flv" in kinds and not self._container.streams.audio and _announces_sound(self._path):
            return None
        claimed = (self._container.duration or 0) / 1e6
        if "avi" in kinds and self._stream.time_base:
            # FFmpeg cuts an AVI's claim down by the file's size; the header's count remains. If it
            # cut nothing, what is missing are frames without bytes, which repeat the one before.
            is_whole = self._stream.frames <= (self._stream.duration or 0)
            if is_whole and self._container.size < _RIFF_BYTES:
                return None
            claimed = max(claimed, float(self._stream.frames * self._stream.time_base))
        starts = (self._container.start_time or 0) / 1e6
        if _LENGTH_FROM_ZERO & kinds:
            starts = 0.0
        ends = self._ends - starts
        least, share = _SHORTFALL
        return claimed if claimed - ends > max(least, share * claimed) else None


def _announces_sound(path: Path) -> bool:
    """Say whether an FLV file's head speaks of sound."""
    with open_file(path) as file:
        head = file.read(5)
    return len(head) == 5 and bool(head[4] & _FLV_SOUND)


class _Flags:
    """Counts packets that arrived damaged, as their file says, though they could be decoded.

    Where another recording was joined on, one of the last packets of the first looks like that.
    """

    def __init__(self) -> None:
        self.count = 0
        self._recent: deque[bool] = deque(maxlen=_NEAR_A_JOIN)
        self._time = -math.inf

    def move_to(self, packet: Any) -> None:
        """Take the next packet; where its time shows a join, take back what was just counted."""
        if packet.dts is not None and packet.time_base:
            time = float(packet.dts * packet.time_base)
            if not -FAR_BACK <= time - self._time <= _HALF_A_TURN:
                self.count -= sum(self._recent)
                self._recent.clear()
            self._time = time
        self._recent.append(False)

    def add(self) -> None:
        """Count this packet."""
        self.count += 1
        self._recent[-1] = True


def _check_file(path: Path) -> None:
    """Refuse what cannot hold a video before FFmpeg, whose messages say less, sees it."""
    try:
        status = path.stat()
        # Opening a pipe would wait for somebody to write to it.
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                is_forged = announces_too_much(file)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", "Check the path.") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot open {path}: {decoder_reason(error)}", "Give a readable video file."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{path} is not a file", "Give a video file.")
    if status.st_size == 0:
        raise DataError(f"{path} is empty", "Replace the file, or leave it out.")
    if is_forged:
        raise DataError(
            f"{path} announces far more frames than fit into its {status.st_size:,} bytes",
            "The file is damaged or forged; replace it, or leave it out.",
        )
