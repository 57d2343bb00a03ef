"""The options that several commands share: networks, what they run on, and how they are trained."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.network.config import Encoder
from glamor_cli.runtimes.options import Device, Provider
from glamor_cli.system.cpus import quota_threads
from glamor_cli.training.options import RecipeName, TrainPrecision
from glamor_cli.vision.options import LONG_SIDE, MIN_SCORES, DetectorKind

_MAX_THREADS = 4096
"""More than any machine has cores, and few enough for every library's counter."""

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="A pair store.")]
SplitOption = Annotated[
    str | None,
    typer.Option(
        help="Split to judge by; default: test, else validation, val or valid, else the only "
        "one. Of a split the network learnt from, only the held-out pairs are used by default."
    ),
]
WeightsOption = Annotated[
    str, typer.Option(help="A name from weights/, or a .safetensors, .onnx or .engine file.")
]
BatchOption = Annotated[int, typer.Option(min=1, help="Pairs run at once.")]
DeviceOption = Annotated[Device, typer.Option(help="What the network runs on.")]
DetectorOption = Annotated[
    DetectorKind,
    typer.Option(
        help="What finds the faces. dlib (as the authors use it) and dlib-corrected (without "
        "their mistakes) take images of no more pixels than full HD, 1920x1080."
    ),
]
LongSideOption = Annotated[
    int | None,
    typer.Option(
        help="For centerface: long side, in pixels, that images are shrunk to before looking for "
        f"faces; default: {LONG_SIDE}. A larger one finds smaller faces and takes longer."
    ),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        help="Leave out faces with a lower detector score; default: "
        + ", ".join(f"{score} for {kind}" for kind, score in MIN_SCORES.items())
        + "."
    ),
]
FlipOption = Annotated[
    bool,
    typer.Option(
        "--flip", help="Also run the mirror image and average both answers; twice the work."
    ),
]
TrainStoreArgument = Annotated[
    Path, typer.Argument(metavar="STORE", help="A pair store made by glamor preprocess.")
]
RecipeOption = Annotated[RecipeName, typer.Option(help="How to train; see docs/training.md.")]
EncoderOption = Annotated[Encoder, typer.Option(help="Which encoders to use.")]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Overrides the recipe.")]
TrainPrecisionOption = Annotated[
    TrainPrecision, typer.Option(help="Precision of convolutions and matrix products.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=_MAX_THREADS,
        callback=lambda threads: threads or quota_threads(),
        help="CPU threads; default: all cores, or as many as a container's quota.",
    ),
]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="What runs ONNX files; default: ONNX Runtime on --device."),
]
FacesProviderOption = Annotated[
    Provider | None,
    typer.Option(
        help="What runs ONNX files and centerface (openvino runs centerface only where the CPU has "
        "AMX); default: ONNX Runtime, on --device for the network and on the CPU for centerface."
    ),
]
