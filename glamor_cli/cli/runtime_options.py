"""The options that several commands share: networks, what they run on, and how they are trained."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.network.config import Encoder
from glamor_cli.runtimes.options import Device, Provider
from glamor_cli.training.options import RecipeName, TrainPrecision
from glamor_cli.vision.options import LONG_SIDE, MIN_SCORES, DetectorKind

MAX_SEED = 2**63 - 1
"""The largest seed that generators of random numbers take."""
_MAX_THREADS = 4096
"""More than any machine has cores, and few enough for every library's counter."""

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="A pair store.")]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Default: test, validation, val, or the only one; of one that was learnt from, what "
        "was held out."
    ),
]
WeightsOption = Annotated[
    str, typer.Option(help="A name from weights/, a .safetensors, .onnx or .engine.")
]
TorchWeightsOption = Annotated[
    str, typer.Option(help="A name from weights/ or a .safetensors file.")
]
SourceOption = Annotated[
    str,
    typer.Option(
        help="A name from weights/ or a .safetensors file; for --trt and --with-preprocessing "
        "also an .onnx file, to build on as it is."
    ),
]
BatchOption = Annotated[int, typer.Option(min=1, help="Pairs run at once.")]
DeviceOption = Annotated[Device, typer.Option(help="What the network runs on.")]
VerifyDeviceOption = Annotated[
    Device,
    typer.Option(
        help="What the ONNX file is verified on; auto: what --provider runs on, else the CPU."
    ),
]
DetectorOption = Annotated[
    DetectorKind,
    typer.Option(
        help="Who finds the faces; dlib (as the authors use it) and dlib-corrected (without their "
        "mistakes) take at most 2 million pixels."
    ),
]
LongSideOption = Annotated[
    int | None,
    typer.Option(
        help="For centerface: shrink images to this long side, in pixels, to look for faces; "
        f"default: {LONG_SIDE}. A larger one finds smaller faces and takes longer."
    ),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        help="Leave out faces the detector is less sure of; default: "
        + ", ".join(f"{score} for {kind}" for kind, score in MIN_SCORES.items())
        + "."
    ),
]
FlipOption = Annotated[
    bool,
    typer.Option("--flip", help="Also ask about the mirror image, and average; twice the work."),
]
TrainStoreArgument = Annotated[Path, typer.Argument(help="Pair store made by glamor preprocess.")]
RecipeOption = Annotated[
    RecipeName, typer.Option(help="How to train; docs/training.md explains each.")
]
EncoderOption = Annotated[Encoder, typer.Option(help="The encoders.")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")]
TrainPrecisionOption = Annotated[
    TrainPrecision, typer.Option(help="Of convolutions and matrix products.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, max=_MAX_THREADS, help="CPU threads; default: all cores.")
]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="What runs an ONNX file; default: ONNX Runtime on --device."),
]
FacesProviderOption = Annotated[
    Provider | None,
    typer.Option(
        help="What runs an ONNX file, and centerface (openvino only where the CPU has AMX); "
        "default: ONNX Runtime, the file on --device and centerface on the CPU."
    ),
]
VerifyProviderOption = Annotated[
    Provider | None,
    typer.Option(help="What verifies the ONNX file; default: ONNX Runtime on --device."),
]
