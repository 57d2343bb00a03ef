"""``glamor scenes``: generate scenes that need the whole network."""

from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.render import progress_bar, say
from glamor_cli.data.options import SceneConfig
from glamor_cli.files.shell_words import show_command


def scenes(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the scenes; new or empty.")
    ],
    train: Annotated[int, typer.Option(help="Scenes to train on.")] = SceneConfig.train,
    validation: Annotated[
        int, typer.Option(help="Scenes to validate on.")
    ] = SceneConfig.validation,
    test: Annotated[int, typer.Option(help="Scenes to test on.")] = SceneConfig.test,
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same scenes.")
    ] = SceneConfig.seed,
    scale: Annotated[
        int, typer.Option(help="Images are 171 x 128 pixels times this.")
    ] = SceneConfig.scale,
    cues: Annotated[
        int, typer.Option(help="Discs in a scene, 2 or 3; three are harder.")
    ] = SceneConfig.cues,
) -> None:
    """Generate scenes in which neither face nor context is enough, with box files and cues.csv.

    The person's mouth says which disc counts; that disc's colour is the emotion.
    """
    from glamor_cli.data.scenes.make import make_scenes

    config = SceneConfig(
        train=train, validation=validation, test=test, seed=seed, scale=scale, cues=cues
    )
    total = sum(config.counts.values())
    with progress_bar("drawing", "scenes") as show:
        make_scenes(out, config, progress=lambda done: show(done, total))
    say(f"{train} train, {validation} validation and {test} test scenes in {out}")
    # Appended to "." or "..", the ending would make a hidden folder.
    pairs = Path(f"{out}-pairs") if out.name.strip(".") else out / "pairs"
    command = show_command("glamor", "preprocess", out, pairs)
    say(f"Next: {command}")
