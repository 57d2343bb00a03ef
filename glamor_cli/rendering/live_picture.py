"""The newest picture of a camera in one file, for whatever shows a file that changes."""

import time
from pathlib import Path

from PIL import Image

from glamor_cli.errors import ConfigError
from glamor_cli.files.atomic import atomic_path
from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.saved_names import MARK
from glamor_cli.rendering.frames import annotate_frame, frame_size

_ENDINGS = (".jpg", ".jpeg")
_EVERY = 1.0
"""Seconds between two pictures, at least."""


class LivePicture:
    """Keeps the newest annotated frame in a JPEG file, which is whole at any time.

    Args:
        path: The file; it is replaced.

    Raises:
        ConfigError: The name has another ending.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix.lower() not in _ENDINGS:
            raise ConfigError(
                f"{path} is not the name of a JPEG file", "Give --picture a name that ends in .jpg."
            )
        self._path = path
        self._due = 0.0

    def update(self, prediction: FramePrediction) -> None:
        """Take the next frame's answers; what comes too soon after a picture is passed over.

        Args:
            prediction: With its ``image``; without one nothing is done.

        Raises:
            ConfigError: The file cannot be written.
        """
        now = time.monotonic()
        if prediction.image is None or now < self._due:
            return
        self._due = now + _EVERY
        picture = Image.fromarray(annotate_frame(prediction, frame_size(prediction.image)))
        with atomic_path(self._path) as temporary:
            picture.save(temporary, "JPEG", quality=90, comment=MARK)
