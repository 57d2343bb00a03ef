"""``glamor demo``: every step from scenes to answers, in minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from glamor_cli.cli.render import console, exit_stopped, say
from glamor_cli.cli.runtime_options import DeviceOption, ThreadsOption
from glamor_cli.demo.options import DemoConfig
from glamor_cli.runtimes.options import Device

if TYPE_CHECKING:
    from glamor_cli.demo.run import Stage


def demo(
    output: Annotated[Path, typer.Option(help="Folder for everything.")] = DemoConfig.folder,
    full: Annotated[
        bool, typer.Option("--full", help="Also train all ablations over three seeds; takes hours.")
    ] = False,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
) -> None:
    """Try every step: scenes, pairs, training, report, ONNX, speed, a real photograph."""
    say("Loading torch ...", style="dim")
    from glamor_cli.demo.run import DemoCallbacks
    from glamor_cli.demo.run import demo as go

    columns = (SpinnerColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def begin(name: str) -> None:
            bar.reset(task, description=name)

        def progress(line: str, share: float) -> None:
            bar.update(task, description=line, completed=share)

        config = DemoConfig(output, full=full, device=device, threads=threads)
        finished = go(config, DemoCallbacks(begin, _print, progress))
    if not finished:
        exit_stopped("what has been done is kept")
    say(f"Everything is in {output}.")
    say("Next: glamor predict your-photograph.jpg --save pictures")


def _print(stage: "Stage") -> None:
    say(f"{stage.name:<12}", style="bold", end="")
    say(f"{stage.seconds:7.1f} s  {stage.outcome}")
    for picture in stage.pictures:
        say(f"{'':22}picture: {picture}", style="dim")
