"""Opening a detector of faces."""

import math
from dataclasses import replace

from glamor_cli.errors import ConfigError
from glamor_cli.settings import choose
from glamor_cli.vision.faces import Detector
from glamor_cli.vision.options import DEFAULT_DETECTOR, DetectorEngine, DetectorKind

_LOWEST_SCORE = 0.01
"""Below it every cell of CenterFace's heat map would be a face to compare with all others."""


def open_detector(
    kind: DetectorKind | str = DEFAULT_DETECTOR,
    *,
    threads: int | None = None,
    long_side: int | None = None,
    min_score: float | None = None,
    engine: DetectorEngine | str = DetectorEngine.CPU,
) -> Detector:
    """Open a detector.

    Args:
        kind: Which one.
        threads: CPU threads of CenterFace; None takes every core. dlib's runs on one.
        long_side: The long side, in pixels, that CenterFace shrinks an image to; None is its
            default. A larger one finds smaller faces and takes longer.
        min_score: CenterFace looks for faces of this score too, down to 0.01; None is its default.
            dlib's detector has a bound of its own.
        engine: What runs CenterFace.

    Raises:
        ConfigError: There is no such detector or engine, it does not have an option, or a value is
            one that it cannot work with.
        BackendUnavailable: A package the detector needs is not installed or does not load, or
            CUDA was asked for and cannot load.
    """
    kind = choose(DetectorKind, kind, "detector")
    engine = choose(DetectorEngine, engine, "engine")
    # Imported here because each needs a library of its own.
    if kind is DetectorKind.CENTERFACE:
        from glamor_cli.vision.centerface import CenterFace, CenterFaceConfig

        config = CenterFaceConfig()
        if long_side is not None:
            config = replace(config, long_side=long_side)
        if min_score is not None and math.isnan(min_score):
            raise ConfigError(
                "the lowest detector score is not a number",
                f"Give one such as {config.min_score}, or none.",
            )
        if min_score is not None and min_score < config.min_score:
            config = replace(config, min_score=max(min_score, _LOWEST_SCORE))
        return CenterFace(config, threads=threads, engine=engine)
    if long_side is not None:
        raise ConfigError(
            "dlib's detector takes no --long-side: it always doubles the image",
            "Leave --long-side out, or choose the detector centerface.",
        )
    from glamor_cli.vision.dlib_faces import DlibFaces

    return DlibFaces(corrected=kind is DetectorKind.DLIB_CORRECTED)
