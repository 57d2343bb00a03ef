"""Who is in pictures and videos, and what their faces say: from sources to rows.

``from glamor_cli.predict import PredictConfig, predict`` is all that a program needs for images.
Videos, alone or beside images, are for ``glamor_cli.predict.video.predict_sources`` with a
``VideoConfig``. Whoever asks again and again keeps what ``open_predictor`` gives: each ``predict``
opens the network anew.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glamor_cli.predict.predictor import (
        FacePrediction,
        ImagePrediction,
        PredictConfig,
        Predictor,
        open_predictor,
        predict,
        predict_images,
    )

__all__ = [
    "FacePrediction",
    "ImagePrediction",
    "PredictConfig",
    "Predictor",
    "open_predictor",
    "predict",
    "predict_images",
]


def __getattr__(name: str) -> Any:
    """Import the predictor when it is first asked for: rows and their formats are read without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from glamor_cli.predict import predictor

    return getattr(predictor, name)
