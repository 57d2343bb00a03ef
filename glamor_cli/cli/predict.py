"""``glamor predict``: the emotion of every face in images, folders, globs and videos."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.durations import parse_seconds
from glamor_cli.cli.input_files import weights_files
from glamor_cli.cli.json_output import STANDARD_OUTPUT
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, progress_bar, say
from glamor_cli.cli.row_output import open_rows
from glamor_cli.cli.runtime_options import (
    DetectorOption,
    DeviceOption,
    FacesProviderOption,
    FlipOption,
    LongSideOption,
    MinScoreOption,
    ThreadsOption,
    WeightsOption,
)
from glamor_cli.cli.source_notes import SourceNotes
from glamor_cli.counts import count
from glamor_cli.errors import ConfigError
from glamor_cli.predict.rows import RowFormat
from glamor_cli.runtimes.options import FACES_AT_ONCE, Device
from glamor_cli.vision.options import DEFAULT_DETECTOR, Sampling, TrackingConfig
from glamor_cli.vision.status import Status
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Images, videos, folders of them, or globs."),
    ],
    weights: WeightsOption = DEFAULT_WEIGHTS,
    row_format: Annotated[
        RowFormat | None,
        typer.Option(
            "--format",
            help="Default: a table on standard error; with --output, by its ending. "
            "Without --output, jsonl, json and csv go to standard output.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the rows to this file; - is standard output, and needs --format."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Save annotated pictures and videos into this folder.")
    ] = None,
    stride: Annotated[
        int, typer.Option(min=1, help="Videos: look at every N-th frame.")
    ] = Sampling.stride,
    every: Annotated[
        str | None, typer.Option(help="Videos: look at one frame per interval, such as 0.5s.")
    ] = None,
    smooth: Annotated[
        str,
        typer.Option(help="Videos: time constant for smoothing each person's emotion; 0 for none."),
    ] = f"{TrackingConfig.smoothing}s",
    detector: DetectorOption = DEFAULT_DETECTOR,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    provider: FacesProviderOption = None,
    flip: FlipOption = False,
    min_score: MinScoreOption = None,
    long_side: LongSideOption = None,
    batch: Annotated[int, typer.Option(min=1, help="Faces recognised at once.")] = FACES_AT_ONCE,
) -> None:
    """Find the faces in images and videos and tell their emotions, one row per face.

    Exits with 1 if a source could not be read; the others are answered all the same.
    """
    from glamor_cli.predict.predictor import PredictConfig
    from glamor_cli.predict.video import VideoConfig, choose_columns, predict_sources

    require_writable(output, folder=save, sources=[*sources, *weights_files(weights)])
    row_format = _choose_format(row_format, output)
    if output == STANDARD_OUTPUT:
        output = None
    video = VideoConfig(
        Sampling(stride, None if every is None else parse_seconds(every, "--every")),
        TrackingConfig(parse_seconds(smooth, "--smooth")),
    )
    pictures = None
    if save is not None:
        from glamor_cli.rendering.videos import VideoFolder

        pictures = VideoFolder(save, sources, threads=threads)
    columns, left_out = choose_columns(sources)
    if left_out is not None:
        say(left_out)
    config = PredictConfig(
        weights=weights,
        detector=detector,
        device=device,
        threads=threads,
        provider=provider,
        flip=flip,
        min_score=min_score,
        long_side=long_side,
        batch=batch,
        keep_images=pictures is not None,
    )
    counts: Counter[Status] = Counter()
    notes = SourceNotes()
    with (
        open_rows(row_format, output, columns, saving=save is not None) as sink,
        pictures or nullcontext(),
        _show_progress(row_format, output) as count_image,
    ):
        for image in predict_sources(
            sources,
            config,
            video,
            notes.pass_over,
            on_named=notes.take,
            on_unread=notes.leave_out,
        ):
            rows = image.rows()
            sink.write(rows)
            counts.update(row.status for row in rows)
            if pictures is not None:
                pictures.save(image)
            count_image()
    _print_summary(counts, output, save, pictures.saved if pictures is not None else 0)
    if pictures is not None and pictures.replaced:
        were = "was" if pictures.replaced == 1 else "were"
        say(f"{count(pictures.replaced, 'picture')} of earlier runs {were} replaced")
    notes.print()
    if counts[Status.ERROR]:
        raise typer.Exit(1)


@contextmanager
def _show_progress(row_format: RowFormat, output: Path | None) -> Iterator[Callable[[], None]]:
    """Lend a function that counts an image, on a terminal for people who do not see the rows."""
    seen = row_format is RowFormat.TABLE or (output is None and sys.stdout.isatty())
    if seen or not console.is_interactive:
        yield lambda: None
        return
    began, done = time.monotonic(), 0
    with progress_bar("predicting", "pictures") as show:

        def update(total: int | None = None) -> None:
            # Images come in batches, whose rate would be that of giving them out.
            show(done, total, rate=done / (time.monotonic() - began))

        def count_image() -> None:
            nonlocal done
            done += 1
            update()

        yield count_image
        update(done)


def _choose_format(row_format: RowFormat | None, output: Path | None) -> RowFormat:
    """Take the format asked for, else the one that the output's ending names, else a table."""
    from glamor_cli.vision.image_files import IMAGE_SUFFIXES
    from glamor_cli.vision.video_reader import VIDEO_SUFFIXES

    if output is None:
        return row_format or RowFormat.TABLE
    if output.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        raise ConfigError(
            f"{output} has the ending of a picture or video, but --output receives rows",
            "Give --output a name that ends in .jsonl, .json or .csv; --save is for pictures.",
        )
    if row_format is RowFormat.TABLE:
        raise ConfigError(
            "a table is for people, on standard error, but --output receives rows",
            "Give --format jsonl, json or csv, or leave --output out.",
        )
    endings = {f".{known}": known for known in RowFormat if known is not RowFormat.TABLE}
    chosen = row_format or endings.get(output.suffix.lower())
    if chosen is None:
        if output == STANDARD_OUTPUT:
            raise ConfigError(
                "the format of the rows is not given, and standard output has no file ending",
                "Add --format jsonl, json or csv.",
            )
        raise ConfigError(
            f"the format of the rows is not clear from the ending of {output}",
            "Give --format jsonl, json or csv, or a name with one of these endings.",
        )
    return chosen


def _print_summary(
    counts: Counter[Status], output: Path | None, save: Path | None, saved: int
) -> None:
    """Count what was found, and say where things were written."""
    parts = [count(counts[Status.OK], "face")]
    if counts[Status.NO_FACE]:
        parts.append(f"{counts[Status.NO_FACE]} without a face")
    if counts[Status.ERROR]:
        parts.append(f"{counts[Status.ERROR]} could not be read")
    if output is not None:
        parts.append(f"rows in {output}")
    if save is not None:
        parts.append(f"pictures in {save}" if saved else "no picture to save")
    say(", ".join(parts))
