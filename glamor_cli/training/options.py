"""What the command line asks of a training. Free of torch."""

from enum import StrEnum


class RecipeName(StrEnum):
    """What ``--recipe`` takes; `recipes` says what each does."""

    PAPER = "paper"
    MODERN = "modern"
    SCENES = "scenes"
    FER2013 = "fer2013"
    FER2013_FINISH = "fer2013-finish"
    FER2013_LONG = "fer2013-long"
    FER2013_TAUGHT = "fer2013-taught"
    FER2013_DISTIL = "fer2013-distil"
    FER2013_CONTEXT = "fer2013-context"


class TrainPrecision(StrEnum):
    """Precision of a training's convolutions and matrix products."""

    AUTO = "auto"
    """bf16 where the hardware has it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"
