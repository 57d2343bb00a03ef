"""The precisions of a training. Free of torch, for the command line."""

from enum import StrEnum


class TrainPrecision(StrEnum):
    """Precision of a training's convolutions and matrix products."""

    AUTO = "auto"
    """bf16 where the hardware has it, else fp32."""
    FP32 = "fp32"
    BF16 = "bf16"
