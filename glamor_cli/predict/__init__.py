"""Who is in pictures and videos, and what their faces say: from sources to rows.

``from glamor_cli.predict import PredictConfig, predict`` is all that a program needs for images in
files; pixels from elsewhere go in as ``SourceImage``s. Videos, alone or beside images, are for
``glamor_cli.predict.video.predict_sources`` with a ``VideoConfig``. Whoever asks again and again
keeps what ``open_predictor`` gives: each ``predict`` opens the network anew.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glamor_cli.predict.predictions import FacePrediction, ImagePrediction
    from glamor_cli.predict.predictor import (
        PredictConfig,
        Predictor,
        open_predictor,
        predict,
        predict_images,
    )
    from glamor_cli.predict.rows import FaceRow
    from glamor_cli.predict.sources import SourceImage
    from glamor_cli.vision.images import read_image
    from glamor_cli.vision.status import Status

__all__ = [
    "FacePrediction",
    "FaceRow",
    "ImagePrediction",
    "PredictConfig",
    "Predictor",
    "SourceImage",
    "Status",
    "open_predictor",
    "predict",
    "predict_images",
    "read_image",
]

_ELSEWHERE = {
    "FacePrediction": "glamor_cli.predict.predictions",
    "FaceRow": "glamor_cli.predict.rows",
    "ImagePrediction": "glamor_cli.predict.predictions",
    "SourceImage": "glamor_cli.predict.sources",
    "Status": "glamor_cli.vision.status",
    "read_image": "glamor_cli.vision.images",
}


def __dir__() -> list[str]:
    """Name what can be imported, too, for whoever asks an interpreter what there is."""
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # checkers would take it that every name exists

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is first asked for, as rows need no predictor."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_ELSEWHERE.get(name, "glamor_cli.predict.predictor")), name)
