"""The newest picture of a camera in one file, for whatever shows a file that changes."""

from pathlib import Path

from PIL import Image

from glamor_cli.errors import ConfigError
from glamor_cli.predict.following import FramePrediction
from glamor_cli.rendering.frames import annotate_frame, frame_size
from glamor_cli.rendering.jpeg_files import save_jpeg
from glamor_cli.vision.frames import FrameChoice
from glamor_cli.vision.options import Sampling

_ENDINGS = (".jpg", ".jpeg")
_EVERY = Sampling(every=1.0)
"""Which frames are drawn: of each second the first. Those of ``--every 1s``, which come at times a
little less than a second apart, are then all drawn."""


class LivePicture:
    """Keeps the newest second's annotated frame in a JPEG file, which is whole at any time.

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
        self._is_due = FrameChoice(_EVERY)

    def update(self, prediction: FramePrediction) -> None:
        """Take the next frame's answers; of each second the first is drawn.

        Args:
            prediction: With its ``image``; without one nothing is done.

        Raises:
            ConfigError: The file cannot be written.
        """
        if prediction.image is None or not self._is_due(prediction.frame, prediction.time):
            return
        picture = Image.fromarray(annotate_frame(prediction, frame_size(prediction.image)))
        save_jpeg(self._path, picture, quality=90)
