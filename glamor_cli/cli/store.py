"""``glamor store``: inspect, check and merge pair stores, and export their boxes."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from glamor_cli.cli.long_progress import long_progress
from glamor_cli.cli.render import console, printable, say, say_notes
from glamor_cli.cli.runtime_options import StoreArgument
from glamor_cli.cli.tables import print_table
from glamor_cli.counts import count

store = typer.Typer(
    help="Inspect, check and merge pair stores, and export their boxes.",
    no_args_is_help=True,
)


@store.command("info")
def info(path: StoreArgument) -> None:
    """Show how a store was made and what it holds."""
    from glamor_cli.data.store.pair_store import PairStore

    opened = PairStore.open(path)
    settings = Table(show_header=False)
    # Whole, because checksums and versions are there to be compared.
    settings.add_column(overflow="fold")
    settings.add_column(overflow="fold")
    for name, value in opened.info.described().items():
        settings.add_row(Text(printable(name)), Text(printable(value)))
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
    print_table(splits)
    print_table(classes)


@store.command("verify")
def verify(path: StoreArgument) -> None:
    """Check every stored pair, the indexes and the labels against their checksums."""
    from glamor_cli.data.store.pair_store import PairStore

    opened = PairStore.open(path)
    total = sum(counts.stored for counts in opened.info.counts.values())
    with long_progress("verifying", "pairs") as show:
        checked = opened.verify(lambda done: show(done, total))
    line = f"{path}: {count(checked, 'pair')}, all intact"
    if not opened.info.index_sha256:
        line += "; an older version made it, without checksums of its labels"
    say(line)


@store.command("merge")
def merge(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE", help="Two stores or more.")],
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the new store; an unfinished one is resumed.")
    ],
) -> None:
    """Merge stores that were made alike; splits of one name are joined in the order given."""
    from glamor_cli.data.store.merge import merge_stores, total_images
    from glamor_cli.data.store.shared_images import note_shared

    total = total_images(stores)
    with long_progress("merging", "images") as show:
        merged = merge_stores(stores, out, on_progress=lambda done: show(done, total))
    pairs = sum(counts.stored for counts in merged.info.counts.values())
    say(f"{out}: {count(pairs, 'pair')} of {len(stores)} stores")
    say_notes(note_shared(merged))


@store.command("export-crops")
def export_crops(
    path: StoreArgument,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Folder to write crop/ into, such as the data set's."),
    ],
) -> None:
    """Write the boxes as the authors' files, crop/<split>/<Class>/<name>.txt."""
    from glamor_cli.data.store.export_crops import export_crops as run
    from glamor_cli.data.store.pair_store import PairStore

    written = run(PairStore.open(path), out)
    say(f"{count(written, 'box file')} written to {out / 'crop'}")
