"""Reading a camera: of what it sends, always the newest frame.

Frames come when they come, and looking at one may take longer than the next is away. So a thread
decodes all of them, since later ones need those before, and keeps the newest alone: whoever asks
gets what is seen now, and what came in between is passed over. The decoder is FFmpeg's, through
PyAV (the extra ``video``).
"""

import errno
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.system.waiting_threads import WaitingThread
from glamor_cli.vision.ffmpeg import (
    choose_stream,
    decoder_reason,
    import_av,
    limit_pixels,
    tolerate_any_text,
)
from glamor_cli.vision.frame_pixels import FramePixels
from glamor_cli.vision.frames import Frame, FrameChoice
from glamor_cli.vision.options import WATCHING, Sampling

# What FFmpeg may open for an address of each kind. Files are never among it, so that no playlist or
# redirection of a camera's leads into this machine.
_PROTOCOLS = {
    "rtsp": "rtp,udp,tcp",
    "rtsps": "rtp,srtp,udp,tcp,tls,crypto",
    "rtp": "rtp,udp",
    "udp": "udp",
    "tcp": "tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tcp,tls,crypto",
    "http": "http,tcp,httpproxy",
    "https": "https,http,tcp,tls,crypto,httpproxy",
}
# Formats that hold their own frames. HLS and other playlists, which name addresses, do not.
_FORMATS = (
    "rtsp,rtp,mpegts,mpjpeg,mjpeg,jpeg_pipe,flv,matroska,webm,mov,mp4,ogg,h264,hevc,mpegvideo"
)
_PLAYLISTS = (".m3u8", ".m3u", ".mpd")
_DEVICE = re.compile(r"/dev/(video\d+|v4l/.+)", re.ASCII)
# Kind, passwords, host and path, and what is asked for, where passwords are too.
# A password may hold a slash by mistake; a number after the colon is a port.
_ADDRESS = re.compile(
    r"([a-z][a-z0-9+.-]*)://([^/]*@|[^/:[]*:(?!\d+/).*@)?([^?#]*)(.*)", re.IGNORECASE
)
# Some recorders want the password in the path: user=admin_password=x_channel=1.
_PASSWORD = re.compile(r"(pass(?:word|wd)?|pwd)=.*?(?=[&/]|_[a-z]+=|$)", re.IGNORECASE)
_LIVE = {
    # What came before the first key frame is not waited for.
    "fflags": "nobuffer",
    # Microseconds: sound that is announced, and never comes, is waited for no longer.
    "analyzeduration": "1000000",
    # Through firewalls, and without torn pictures, where the camera can.
    "rtsp_flags": "prefer_tcp",
}
_GLANCE = 0.2
"""Seconds after which a waiting program looks up: on Windows nothing else lets Ctrl-C through."""


@dataclass(frozen=True)
class CameraAddress:
    """Where a camera is.

    Attributes:
        address: As FFmpeg opens it.
        name: The same without passwords, for people and rows.
        protocols: What FFmpeg may use to get there; None for a device of this machine.
    """

    address: str
    name: str
    protocols: str | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address: ``rtsp://host/path`` and its like; on Linux ``/dev/video0``, or ``0``.

        Raises:
            ConfigError: It is neither, or that of a playlist.
        """
        text = text.strip()
        if sys.platform == "linux":
            device = f"/dev/video{text}" if re.fullmatch(r"\d+", text, re.ASCII) else text
            if _DEVICE.fullmatch(device):
                return cls(device, device, None)
        form = _ADDRESS.fullmatch(text)
        kind, _, place, _ = form.groups() if form else ("", "", text, "")
        name = _PASSWORD.sub(r"\1=...", f"{kind}://{place}" if form else text)
        if kind.lower() not in _PROTOCOLS or not place:
            raise ConfigError(
                f"{name} is not the address of a camera",
                f"Give one that begins with {', '.join(f'{known}://' for known in _PROTOCOLS)}, "
                "or, on Linux, a device such as /dev/video0. Files are for glamor predict.",
            )
        if place.lower().endswith(_PLAYLISTS):
            raise ConfigError(
                f"{name} is a playlist, which is not read because it may lead anywhere",
                "Give the address of the camera's own stream, such as RTSP or MJPEG over HTTP.",
            )
        return cls(text, name, _PROTOCOLS[kind.lower()])


class Camera:
    """A camera, which may be opened again after it was lost: frames and seconds count on.

    Args:
        address: ``rtsp://host/path`` or its like, or ``/dev/video0`` on Linux.
        every: Seconds of which each has one frame that is looked at; None takes what comes.
        patience: Seconds without a picture after which it counts as lost. A program that ends while
            the camera sends nothing ends only after them.
        threads: CPU threads of the decoder; None leaves it to FFmpeg.

    Attributes:
        name: The address without passwords, for people and rows.

    Raises:
        ConfigError: It is no such address.
        BackendUnavailable: PyAV is not installed.
    """

    def __init__(
        self,
        address: str,
        *,
        every: float | None = WATCHING.every,
        patience: float = WATCHING.patience,
        threads: int | None = None,
    ) -> None:
        self._av = import_av()
        self._address = CameraAddress.parse(address)
        self.name = self._address.name
        self._patience = patience
        self._threads = threads
        self._is_wanted = FrameChoice(Sampling(every=every))
        self._began: float | None = None
        self._count = 0

    def frames(self, *, until: float | None = None) -> Iterator[Frame]:
        """Open the camera, and give its newest frame each time that one is asked for.

        Args:
            until: When to stop, in seconds of ``time.monotonic``; None goes on until it ends.

        Raises:
            DataError: It cannot be opened, sends nothing that can be decoded, or not in time, or
                pictures that are too large or have colours that are not read, or breaks off.
        """
        newest = _Newest()
        # A device that hangs has no patience that would ever let a program end.
        is_device = self._address.protocols is None
        reading = WaitingThread(target=self._read, args=(newest,), name="camera", daemon=is_device)
        reading.start()
        failing: float | None = None
        try:
            while (arrival := self._await(newest, until)) is not None:
                if self._is_wanted(arrival.index, arrival.seconds):
                    image = self._convert(arrival)
                    if image is not None:
                        failing = None
                        yield Frame(arrival.index, arrival.seconds, image)
                        continue
                    failing = failing or time.monotonic()
                    if time.monotonic() - failing > self._patience:
                        raise self._lost("its pictures cannot be converted")
            if self._began is None:
                raise self._lost("no picture came")
        finally:
            newest.close()
            # Where it waits for the network it ends later, by its own patience.
            reading.join(_GLANCE)

    def _await(self, newest: "_Newest", until: float | None) -> "_Arrival | None":
        """Wait for a frame that nobody has looked at; None where no more are wanted, or come."""
        begun = time.monotonic()
        while until is None or time.monotonic() < until:
            arrival, is_last = newest.take(_GLANCE)
            if arrival is not None or is_last:
                return arrival
            if time.monotonic() - begun > self._patience:
                raise self._lost(f"no picture came for {self._patience:g} s")
        return None

    def _convert(self, arrival: "_Arrival") -> NDArray[np.uint8] | None:
        """Make pixels of a frame; what cannot be shown gives none."""
        try:
            return arrival.pixels.rgb(arrival.decoded)
        except DataError:
            raise
        except Exception:
            return None

    def _read(self, newest: "_Newest") -> None:
        """Open the camera and hand on all that it sends; runs in a thread of its own."""
        try:
            with self._open() as container:
                stream = choose_stream(self._av, self.name, container)
                self._prepare(stream.codec_context)
                pixels = FramePixels(self._av, self.name, stream)
                for packet in container.demux(stream):
                    # Python's own end waits for this thread, and whoever asks may never close it.
                    if newest.is_closed or not threading.main_thread().is_alive():
                        return
                    for decoded in _decode(packet):
                        newest.put(self._arrival(decoded, pixels))
            newest.end()
        except DataError as error:
            newest.end(error)
        except self._av.error.ExitError:
            newest.end(self._lost(f"nothing came for {self._patience:g} s"))
        except Exception as error:
            # On what strangers send nearly anything is raised.
            newest.end(None if self._is_end(error) else self._lost(decoder_reason(error)))

    def _open(self) -> Any:
        if self._address.protocols is None:
            return self._av.open(self._address.address, format="v4l2")
        limits = {"format_whitelist": _FORMATS, "protocol_whitelist": self._address.protocols}
        return self._av.open(
            self._address.address,
            options=_LIVE | limits,
            timeout=(self._patience, self._patience),
            **tolerate_any_text(self._av),
        )

    def _prepare(self, decoder: Any) -> None:
        limit_pixels(decoder, self.name)
        # Threads that take a frame each would hold as many back.
        decoder.thread_type = "SLICE"
        if self._threads is not None:
            decoder.thread_count = self._threads

    def _arrival(self, decoded: Any, pixels: FramePixels) -> "_Arrival":
        now = time.monotonic()
        if self._began is None:
            self._began = now
        self._count += 1
        return _Arrival(decoded, pixels, self._count - 1, now - self._began)

    def _is_end(self, error: Exception) -> bool:
        """Tell whether pictures over HTTP have ended: FFmpeg misses the next one's beginning."""
        is_remote = self._address.protocols is not None
        return is_remote and self._began is not None and getattr(error, "errno", 0) == errno.EIO

    def _lost(self, why: str) -> DataError:
        passed = "" if self._began is None else f" after {time.monotonic() - self._began:.0f} s"
        what = f"cannot open {self.name}" if self._began is None else f"lost {self.name}{passed}"
        return DataError(
            f"{what}: {why}",
            "Check the address, the camera and the network; --retry 5s opens it again when lost.",
        )


@dataclass(frozen=True, eq=False)
class _Arrival:
    """A decoded frame, and what makes pixels of it.

    Attributes:
        decoded: PyAV's frame.
        pixels: Converts it.
        index: Its number, from 0.
        seconds: When it came, after the first one.
    """

    decoded: Any
    pixels: FramePixels
    index: int
    seconds: float


class _Newest:
    """Hands the newest frame from the thread that reads to the one that looks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._arrival: _Arrival | None = None
        self._has_ended = False
        self._error: DataError | None = None
        self.is_closed = False

    def put(self, arrival: _Arrival) -> None:
        """Take a frame in the place of the one before."""
        with self._changed:
            self._arrival = arrival
            self._changed.notify()

    def end(self, error: DataError | None = None) -> None:
        """Say that no more come, and why."""
        with self._changed:
            self._has_ended, self._error = True, error
            self._changed.notify()

    def take(self, seconds: float) -> tuple[_Arrival | None, bool]:
        """Wait for a frame; give it, if one came, and whether it was the end.

        Raises:
            DataError: No more come, for a reason.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._arrival or self._has_ended, seconds)
            arrival, self._arrival = self._arrival, None
            if arrival is None and self._error is not None:
                raise self._error
            return arrival, arrival is None and self._has_ended

    def close(self) -> None:
        """Let the reading thread end."""
        self.is_closed = True


def _decode(packet: Any) -> list[Any]:
    """Decode a packet; what was damaged on its way, or came before a key frame, gives nothing."""
    try:
        frames: list[Any] = packet.decode()
    except Exception:
        return []
    return [frame for frame in frames if not frame.is_corrupt]
