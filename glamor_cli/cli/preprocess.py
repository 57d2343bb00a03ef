"""``glamor preprocess``: a data set on disk becomes a pair store."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from glamor_cli.cli.input_files import store_files
from glamor_cli.cli.json_output import json_option, write_json
from glamor_cli.cli.long_progress import long_progress
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import exit_stopped, say, say_notes
from glamor_cli.cli.source_notes import say_left_out
from glamor_cli.cli.tables import print_table
from glamor_cli.counts import count
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.errors import ConfigError
from glamor_cli.vision.options import DetectorKind

if TYPE_CHECKING:
    from glamor_cli.data.preprocess.progress import PreprocessProgress, PreprocessReport

_SHOWN_FAILURES = 5


def preprocess(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder of a data set (NCAER-S, CAER-S, class folders), or a manifest .csv.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="STORE", help="Folder of the pair store; an unfinished one is resumed."
        ),
    ],
    boxes: Annotated[
        BoxSource,
        typer.Option(
            help="Where the faces' boxes come from: a detector, the authors' box files, the "
            "manifest's columns, or the whole image is the face; auto: from the data set if it "
            "has any, otherwise from a detector."
        ),
    ] = PairMaking.boxes,
    detector: Annotated[
        DetectorKind | None,
        typer.Option(
            help=f"Which detector finds faces; default: {PairMaking.detector}. dlib gives the "
            "authors' boxes, dlib-corrected those without their mistakes. If you name one, boxes "
            "are detected even if the data set has its own."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one per CPU.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Use a Dask cluster's workers: tcp://host:8786."),
    ] = None,
    official_jpeg: Annotated[
        bool, typer.Option("--official-jpeg", help="Repeat the JPEG step of the authors' program.")
    ] = PairMaking.official_jpeg,
    skip_no_face: Annotated[
        bool, typer.Option("--skip-no-face", help="Store no pairs of images without a face.")
    ] = PairMaking.skip_no_face,
    split: Annotated[
        str | None,
        typer.Option(help="Only this split; for data without splits, the name to give them."),
    ] = None,
    json_file: Annotated[Path | None, json_option("the report")] = None,
) -> None:
    """Turn a data set into face/context pairs. Run again after a stop, it goes on from there.

    Exits with 1 if an image could not be used, also when run again; the others are stored all the
    same.
    """
    from glamor_cli.data.preprocess.run import PreprocessConfig
    from glamor_cli.data.preprocess.run import preprocess as run
    from glamor_cli.data.store.pair_store import PairStore
    from glamor_cli.data.store.shared_images import note_shared
    from glamor_cli.system.cpus import available_cpus

    if workers and dask:
        raise ConfigError(
            "--workers and --dask cannot be combined: processes of this machine, or a cluster",
            "Leave one of them out.",
        )
    if detector and boxes is BoxSource.AUTO:
        boxes = BoxSource.DETECT
    if detector and boxes is not BoxSource.DETECT:
        raise ConfigError(
            f"--detector cannot be combined with --boxes {boxes}",
            "Leave --detector out, or choose --boxes detect.",
        )
    require_writable(json_file, sources=[source, out, *store_files(out)], data_sets=[source])
    config = PreprocessConfig(
        source=source,
        out=out,
        making=PairMaking(
            boxes=boxes,
            detector=detector or PairMaking.detector,
            official_jpeg=official_jpeg,
            skip_no_face=skip_no_face,
        ),
        split=split,
        workers=workers or available_cpus(),
        isolated=True,
        dask=dask,
    )
    try:
        with long_progress("preprocessing", "images") as show:

            def show_images(progress: "PreprocessProgress") -> None:
                failed = f", {progress.failed} failed" if progress.failed else ""
                show(
                    progress.read,
                    progress.total,
                    doing=f"preprocessing{failed}",
                    rate=progress.images_per_second,
                )

            def warn() -> None:
                say("the cluster has no workers; waiting for one")

            report = run(config, on_progress=show_images, on_no_worker=warn)
    except KeyboardInterrupt:
        exit_stopped("what has been done is kept")
    _print(report, out)
    say_left_out(report.left_out)
    if json_file is not None:
        write_json(json_file, asdict(report), "report")
    say_notes(note_shared(PairStore.open(out), same_names=True))
    if report.failed:
        raise typer.Exit(1)


def _print(report: "PreprocessReport", out: Path) -> None:
    """Show what became of the images."""
    table = Table("boxes")
    for heading in ("images", "stored", "no face", "failed", "seconds", "images/s"):
        table.add_column(heading, justify="right")
    table.add_row(
        report.boxes,
        str(report.read),
        str(report.stored),
        str(report.no_face),
        str(len(report.failed)),
        f"{report.seconds:.1f}",
        f"{report.images_per_second:.1f}",
    )
    print_table(table)
    if report.resumed == report.read:
        say(f"{out} is already finished; there was nothing left to do")
    elif report.resumed:
        were = "was" if report.resumed == 1 else "were"
        say(f"{count(report.resumed, 'image')} {were} done by an earlier run")
    for failure in report.failed[:_SHOWN_FAILURES]:
        where = "" if failure.source in failure.reason else f"{failure.source}: "
        say(f"failed: {where}{failure.reason}")
    if len(report.failed) > _SHOWN_FAILURES:
        say(f"... and {len(report.failed) - _SHOWN_FAILURES} more; --json lists them all")
    if report.failed and report.boxes in (BoxSource.CROP_FILES, BoxSource.MANIFEST):
        say("Where boxes are missing: --boxes detect, into another folder, finds all faces anew.")
