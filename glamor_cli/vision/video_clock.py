"""When the frames of a video are shown: times that rise, whatever the file says."""

import math
from fractions import Fraction
from typing import Any

from glamor_cli.vision.options import SHORTEST

FAR_BACK = 1.0
"""Seconds by which a time falls back that is another recording's."""
_FAR_AHEAD = 10.0
"""Seconds by which a broadcast's time leaps ahead that is another recording's, as FFmpeg's programs
have it (``-dts_delta_threshold``)."""
BROADCASTS = {"mpegts", "mpeg"}
"""Formats whose clock turns over after 26 hours: FFmpeg takes a time far back for the next turn."""
_FAR_BEFORE = 60.0
"""Seconds before a picture from which a transport stream's beginning is another programme's."""
_GUESSED_RATE = 25.0
"""Frames per second where a file tells no times at all."""
_HAIR = 1e-3
"""Seconds between two frames that are told to be shown at once."""


class VideoClock:
    """Gives each frame a time, rising whatever the file says.

    It counts as players do, from where the first of the file's streams begins. What sound has
    before zero only warms its decoder up.

    A time that does not rise is passed by a hair, so that the file's own times hold again as soon
    as they have caught up. Where they fall far back and stay there, another recording was joined
    on, and is counted from where the first one ended. In broadcasts a leap far ahead counts as
    such a fall, unless the next picture leaps again. It may also be a long pause in reception,
    which nothing tells from another recording; it is closed, as players do.
    """

    def __init__(self, stream: Any, container: Any) -> None:
        """Take a stream and its file, as PyAV has opened them."""
        self._base = stream.time_base
        self._begins = container.start_time
        is_broadcast = container.format.name in BROADCASTS
        self._far_ahead = _FAR_AHEAD if is_broadcast else math.inf
        self._far_before = _FAR_BEFORE if container.format.name == "mpegts" else math.inf
        self._stamps = _Stamps()
        self._start = None if stream.start_time is None else self._earlier(stream.start_time)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        self._step = 1 / (rate if SHORTEST < rate < 1e6 else _GUESSED_RATE)
        self._away = 0
        self._told = 0.0
        self.last = -self._step

    def time(self, frame: Any) -> float:
        """Give the time of the next frame in the order of showing, in seconds."""
        stamp = self._stamps.choose(frame)
        time = self.last + self._step
        if stamp is not None and self._base:
            if self._start is None:
                self._start = self._earlier(stamp)
            told = float((stamp - self._start) * self._base)
            if self._away == 1 and told - self._told > self._far_ahead:
                self._far_ahead = math.inf  # pictures that come as rarely again are no joins
            self._told = told
            leaps = self.last >= 0 and told > self.last + self._far_ahead
            far = leaps or told < self.last - FAR_BACK
            self._away = self._away + 1 if far else 0
            if told > self.last and not leaps:
                time = max(told, 0.0)
            elif not far and self.last >= 0:
                time = self.last + min(self._step, _HAIR)
            elif self._away > 1:
                self._start -= round((time - told) / self._base)
        self.last = time
        return time

    def _earlier(self, start: int) -> int:
        """Give the file's beginning in the stream's units, if its picture starts later."""
        if self._begins is None or not self._base:
            return start
        begins: int = round(Fraction(max(0, self._begins), 1_000_000) / self._base)
        return min(start, begins) if (start - begins) * self._base <= self._far_before else start


class _Stamps:
    """Chooses between a frame's two times as FFmpeg's own programs do (``guess_correct_pts``).

    Some files tell only when a frame is decoded. When it is shown is guessed then, and where frames
    are stored in another order the guesses go up and down.
    """

    def __init__(self) -> None:
        self._shown = self._decoded = -math.inf
        self._shown_falls = self._decoded_falls = 0

    def choose(self, frame: Any) -> int | None:
        """Give the time of the kind that has risen more steadily so far; None where it has none."""
        shown: int | None = frame.pts
        decoded: int | None = frame.dts
        if decoded is not None:
            self._decoded_falls += decoded <= self._decoded
            self._decoded = decoded
        if shown is not None:
            self._shown_falls += shown <= self._shown
            self._shown = shown
        is_steady = self._shown_falls <= self._decoded_falls or self._decoded == -math.inf
        return shown if shown is not None and is_steady else decoded
