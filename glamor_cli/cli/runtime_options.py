"""The options of every command that opens a runtime, written once."""

from typing import Annotated

import typer

from glamor_cli.runtimes.choices import Device, Provider

DeviceOption = Annotated[Device, typer.Option(help="What the network runs on.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all cores.")]
ProviderOption = Annotated[
    Provider | None,
    typer.Option(help="What runs an ONNX file; default: ONNX Runtime on --device."),
]
