"""The list of commands."""

from typing import Annotated

import typer

from glamor_cli import __version__
from glamor_cli.cli.ablate import ablate
from glamor_cli.cli.attention import attention
from glamor_cli.cli.bench import bench
from glamor_cli.cli.demo import demo
from glamor_cli.cli.doctor import doctor
from glamor_cli.cli.evaluate import evaluate
from glamor_cli.cli.explain import explain
from glamor_cli.cli.export import export
from glamor_cli.cli.fer2013 import fer2013
from glamor_cli.cli.import_checkpoint import import_checkpoint
from glamor_cli.cli.predict import predict
from glamor_cli.cli.preprocess import preprocess
from glamor_cli.cli.scenes import scenes
from glamor_cli.cli.store import store
from glamor_cli.cli.train import train

app = typer.Typer(
    name="glamor",
    help="Context-aware emotion recognition with GLAMOR-Net: from photographs to running engines.",
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
        bool, typer.Option("--verbose", help="Show the traceback of an error.")
    ] = False,
) -> None:
    """Take what belongs to every command."""


app.command("predict")(predict)
app.command("preprocess")(preprocess)
app.add_typer(store, name="store")
app.command("scenes")(scenes)
app.command("fer2013")(fer2013)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("attention")(attention)
app.command("ablate")(ablate)
app.command("export")(export)
app.command("bench")(bench)
app.command("import-checkpoint")(import_checkpoint)
app.command("explain")(explain)
app.command("demo")(demo)
app.command("doctor")(doctor)
