"""``glamor import-checkpoint``: the authors' TensorFlow checkpoint becomes our weights."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.render import say


def import_checkpoint(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="What the names of the checkpoint's files begin with, such as path/to/Model.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors file to write.")],
) -> None:
    """Import the authors' TensorFlow checkpoint, without TensorFlow."""
    from glamor_cli.export.tensorflow_checkpoint import VARIABLE_NAMES
    from glamor_cli.export.tensorflow_checkpoint import import_checkpoint as run_import

    run_import(path, out)
    say(f"wrote {out}: {len(VARIABLE_NAMES)} variables, every checksum verified")
