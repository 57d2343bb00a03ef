"""``glamor predict``: the emotion of every face in images, folders, globs and videos."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from glamor_cli.atomic import atomic_path, report_full_disk
from glamor_cli.cli.durations import parse_seconds
from glamor_cli.cli.face_table import FaceTable, error_line
from glamor_cli.cli.render import INTERRUPTED, console
from glamor_cli.cli.runtime_options import (
    DeviceOption,
    FlipOption,
    LongSideOption,
    MinScoreOption,
    ProviderOption,
    ThreadsOption,
    WeightsOption,
)
from glamor_cli.errors import ConfigError
from glamor_cli.extras import install_extra
from glamor_cli.row_file import RowFile
from glamor_cli.rows import COLUMNS, VIDEO_COLUMNS, FaceRow, RowFormat, RowSink, open_sink
from glamor_cli.runtimes.choices import FACES_AT_ONCE, Device
from glamor_cli.status import Status
from glamor_cli.vision.detector_kind import DetectorKind
from glamor_cli.vision.video_options import Sampling, TrackingConfig
from glamor_cli.weights import DEFAULT_WEIGHTS

CLOSED_PIPE = 141
"""The exit code of a program whose reader has gone (128 + SIGPIPE), as shells have it."""


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Images, videos, folders of them, or globs."),
    ],
    weights: WeightsOption = DEFAULT_WEIGHTS,
    row_format: Annotated[
        RowFormat | None,
        typer.Option("--format", help="Default: by --output's ending, else a table."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the rows to this file, not to standard output.")
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
        typer.Option(
            help="Videos: time constant of the smoothing of a person's emotion; 0 for none."
        ),
    ] = f"{TrackingConfig.smoothing}s",
    detector: Annotated[
        DetectorKind, typer.Option(help="Who finds the faces.")
    ] = DetectorKind.CENTERFACE,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    provider: ProviderOption = None,
    flip: FlipOption = False,
    min_score: MinScoreOption = None,
    long_side: LongSideOption = None,
    batch: Annotated[int, typer.Option(min=1, help="Faces recognised at once.")] = FACES_AT_ONCE,
) -> None:
    """Find every face in images and videos and tell its emotion, one row a face.

    Exits with 1 if a source could not be read; the others are answered all the same.
    """
    from glamor_cli.predict import PredictConfig
    from glamor_cli.video import VideoConfig, has_video, predict_sources
    from glamor_cli.vision.video_reader import has_av, is_video

    row_format = _choose_format(row_format, output)
    video = VideoConfig(
        Sampling(stride, None if every is None else parse_seconds(every, "--every")),
        TrackingConfig(parse_seconds(smooth, "--smooth")),
    )
    pictures = skip_suffix = None
    if save is not None:
        from glamor_cli.rendering.annotate import SAVED_SUFFIX
        from glamor_cli.rendering.videos import SAVED_TIMELINE_SUFFIX, VideoFolder

        pictures = VideoFolder(save, threads=threads)
        skip_suffix = (SAVED_SUFFIX, SAVED_TIMELINE_SUFFIX)
    columns = COLUMNS
    if has_video(sources, skip_suffix):
        if has_av() or any(map(is_video, sources)):
            columns = VIDEO_COLUMNS
        else:
            console.print(
                "videos in folders are left out: they need PyAV, which is not installed. "
                f"{install_extra('video')}",
                markup=False,
                soft_wrap=True,
            )
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
        skip_suffix=skip_suffix,
    )
    counts: Counter[Status] = Counter()
    with _open_rows(row_format, output, columns) as sink, pictures or nullcontext():
        for image in predict_sources(sources, config, video):
            rows = image.rows()
            sink.write(rows)
            counts.update(row.status for row in rows)
            if pictures is not None:
                pictures.save(image)
    _print_summary(counts, output, save)
    if counts[Status.ERROR]:
        raise typer.Exit(1)


def _choose_format(row_format: RowFormat | None, output: Path | None) -> RowFormat:
    """Take the format asked for, else the one that the output's ending says, else a table."""
    if output is None:
        return row_format or RowFormat.TABLE
    if output.is_dir():
        raise ConfigError(f"{output} is a folder", "Give --output the name of a file.")
    endings = {f".{known}": known for known in RowFormat if known is not RowFormat.TABLE}
    chosen = row_format or endings.get(output.suffix.lower())
    if chosen is None or chosen is RowFormat.TABLE:
        raise ConfigError(
            f"cannot tell how to write {output}",
            "Give --format jsonl, json or csv; a table is for reading only.",
        )
    return chosen


@contextmanager
def _open_rows(
    row_format: RowFormat, output: Path | None, columns: tuple[str, ...]
) -> Iterator[RowSink]:
    """Open where rows go; after Ctrl-C, and in a file after any failure, those so far are kept."""
    if output is not None:
        with _write_file(row_format, output, columns) as sink:
            yield sink
        return
    streams: AbstractContextManager[RowSink] = (
        nullcontext(FaceTable())
        if row_format is RowFormat.TABLE
        else _write_stdout(row_format, columns)
    )
    interrupted = False
    with streams as sink:
        try:
            yield sink
        except KeyboardInterrupt:
            interrupted = True
        sink.close()
    if interrupted:
        console.print("interrupted: the rows so far are kept")
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _write_file(row_format: RowFormat, output: Path, columns: tuple[str, ...]) -> Iterator[RowSink]:
    failure: BaseException | None = None
    with report_full_disk(output):
        with atomic_path(output) as temporary, temporary.open("wb", buffering=0) as file:
            rows = RowFile(file, row_format, columns)
            try:
                yield _ErrorPrinter(rows)
                rows.close()
            except (Exception, KeyboardInterrupt) as error:
                # An earlier file must not be lost for one without a row.
                if not rows.cut():
                    raise
                failure = error
        if failure is not None:
            console.print(Text(f"the rows so far are in {output}"), soft_wrap=True)
            raise failure


@contextmanager
def _write_stdout(row_format: RowFormat, columns: tuple[str, ...]) -> Iterator[RowSink]:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")
    try:
        with report_full_disk("standard output"):
            try:
                yield _ErrorPrinter(open_sink(row_format, sys.stdout, columns))
            except OSError:
                # Python would complain once more when it flushes at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise
    except BrokenPipeError:
        # The reader has enough (`| head`).
        raise typer.Exit(CLOSED_PIPE) from None


class _ErrorPrinter:
    """Passes rows on, and tells people of errors, who do not see the rows."""

    def __init__(self, sink: RowSink) -> None:
        self._sink = sink

    def write(self, rows: Iterable[FaceRow]) -> None:
        rows = list(rows)
        self._sink.write(rows)
        for row in rows:
            if row.status is Status.ERROR:
                console.print(
                    Text.assemble(("error: ", "bold red"), error_line(row)), soft_wrap=True
                )

    def close(self) -> None:
        self._sink.close()


def _print_summary(counts: Counter[Status], output: Path | None, save: Path | None) -> None:
    """Count what was found, and say where things were written."""
    parts = [f"{counts[Status.OK]} {'face' if counts[Status.OK] == 1 else 'faces'}"]
    if counts[Status.NO_FACE]:
        parts.append(f"{counts[Status.NO_FACE]} without a face")
    if counts[Status.ERROR]:
        parts.append(f"{counts[Status.ERROR]} could not be read")
    if output is not None:
        parts.append(f"rows in {output}")
    if save is not None:
        parts.append(f"pictures in {save}")
    console.print(Text(", ".join(parts)), soft_wrap=True)
