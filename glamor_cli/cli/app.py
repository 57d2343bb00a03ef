"""The list of commands."""

from typing import Annotated

import typer

from glamor_cli import __version__
from glamor_cli.cli.lazy import lazy_group

COMMANDS = {
    "predict": "Find the faces in images and videos and tell their emotions, one row per face.",
    "watch": "Watch a camera: find the faces, follow the people, and tell their emotions right "
    "now.",
    "preprocess": "Turn a data set into face/context pairs. Run again after a stop, it goes on "
    "from there.",
    "store": "Inspect, check and merge pair stores, and export their boxes.",
    "scenes": "Generate scenes in which neither face nor context is enough, with box files and "
    "cues.csv.",
    "fer2013": "Turn FER2013 with FER+'s votes into images and a manifest for glamor preprocess.",
    "train": "Train a network. Ctrl-C saves, and --resume goes on.",
    "evaluate": "Judge a network on a pair store: accuracy, macro-F1, figures per class, "
    "confusion.",
    "compare": "Compare networks on the same pairs: accuracy and significance, disagreements, "
    "latency.",
    "attention": "Measure the attention: what it points at, and what hiding that place costs.",
    "ablate": "Train the whole network and its ablations in the same way, and compare them.",
    "export": "Export to ONNX or TensorRT, and compare the answers; a file that disagrees is not "
    "kept.",
    "bench": "Measure latency, throughput and agreement of several backends, taking turns.",
    "import-checkpoint": "Import the authors' TensorFlow checkpoint, without TensorFlow.",
    "explain": "Show one person's answer: attention, streams, second choice, and what hiding "
    "changes.",
    "demo": "Try every step: scenes, pairs, training, report, ONNX, speed, a real photograph.",
    "doctor": "Show what works here, what is missing, and what to do about it.",
}
"""Each command, and the first paragraph of its own help.

``import-checkpoint`` is the function ``import_checkpoint`` in the file of that name beside this
one, imported when it is run.
"""

app = typer.Typer(
    name="glamor",
    cls=lazy_group(COMMANDS),
    help="Context-aware emotion recognition with GLAMOR-Net: from photographs to engines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"glamor {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Show the traceback of an error; also after a command."),
    ] = False,
) -> None:
    """Take what belongs to every command."""
