"""``glamor fer2013``: FER2013's arrays become images and a manifest with soft labels."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.render import say
from glamor_cli.data.options import VOTES_SHARE
from glamor_cli.files.shell_words import show_command


def fer2013(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with train.npz and validation.npz.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the images and manifest.csv.")
    ],
    votes_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of FER+'s votes in each soft label.")
    ] = VOTES_SHARE,
) -> None:
    """Turn FER2013 with FER+'s votes into images and a manifest for glamor preprocess."""
    from glamor_cli.data.data_sets.fer2013 import convert_fer2013

    for split, report in convert_fer2013(folder, out, votes_share=votes_share).items():
        say(
            f"{split}: {report.written} images; left out {report.duplicates} copies from another "
            f"split, {report.lossy} lossy"
        )
    command = show_command("glamor", "preprocess", out, "STORE", "--boxes", "whole")
    say(f"Next: {command}")
