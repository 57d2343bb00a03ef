"""``glamor store``: look at a pair store, check it, and write its boxes as the authors' files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.render import console, progress_bar

store = typer.Typer(
    help="Look at a pair store, check it, take its boxes out.", no_args_is_help=True
)

_Store = Annotated[Path, typer.Argument(metavar="STORE", help="A pair store.")]


@store.command("info")
def info(path: _Store) -> None:
    """Show how a store was made and what it holds."""
    from glamor_cli.data.store import PairStore

    opened = PairStore.open(path)
    settings = Table(show_header=False)
    for name, value in opened.info.described().items():
        settings.add_row(name, Text(value))
    console.print(settings)
    splits = Table()
    splits.add_column("split")
    for heading in ("images", "stored", "no face", "failed"):
        splits.add_column(heading, justify="right")
    classes = Table()
    classes.add_column("stored")
    for name in opened.splits:
        counts = opened.info.counts[name]
        numbers = (counts.read, counts.stored, counts.no_face, counts.failed)
        splits.add_row(Text(name), *map(str, numbers))
        classes.add_column(Text(name), justify="right")
    per_split = [opened.split(name).class_counts() for name in opened.splits]
    for label, numbers_of_class in zip(
        opened.info.classes, zip(*per_split, strict=True), strict=True
    ):
        classes.add_row(Text(label), *map(str, numbers_of_class))
    console.print(splits, classes)


@store.command("verify")
def verify(path: _Store) -> None:
    """Compare every stored pair with its checksum."""
    from glamor_cli.data.store import PairStore

    opened = PairStore.open(path)
    with progress_bar("pairs") as bar:
        total = sum(counts.stored for counts in opened.info.counts.values())
        task = bar.add_task("verifying", total=total, rate="-")

        def show(done: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, completed=done, rate=f"{speed:.0f}" if speed else "-")

        checked = opened.verify(show)
    console.print(
        f"{path}: {checked} pairs, all as they were written", markup=False, soft_wrap=True
    )


@store.command("export-crops")
def export_crops(
    path: _Store,
    out: Annotated[Path, typer.Argument(help="Folder that gets crop/, beside images/ if it has.")],
) -> None:
    """Write the boxes as crop/<split>/<Class>/<name>.txt, as the authors keep them."""
    from glamor_cli.data.crop_files import export_crops as run
    from glamor_cli.data.store import PairStore

    written = run(PairStore.open(path), out)
    console.print(f"{written} boxes written to {out / 'crop'}", markup=False, soft_wrap=True)
