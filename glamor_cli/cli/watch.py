"""``glamor watch``: who is in front of a camera, and what their faces say, as it happens."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from glamor_cli.cli.durations import parse_seconds
from glamor_cli.cli.output_paths import require_writable
from glamor_cli.cli.render import console, say
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
from glamor_cli.counts import count
from glamor_cli.errors import DataError
from glamor_cli.predict.rows import VIDEO_COLUMNS, FaceRow, RowFormat, RowSink
from glamor_cli.runtimes.options import Device
from glamor_cli.vision.options import DEFAULT_DETECTOR, TrackingConfig, WatchConfig
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


def watch(
    camera: Annotated[
        str,
        typer.Argument(
            metavar="CAMERA",
            help="rtsp://host/path, http://host/path and the like; on Linux /dev/video0, or 0.",
        ),
    ],
    weights: WeightsOption = DEFAULT_WEIGHTS,
    row_format: Annotated[
        RowFormat,
        typer.Option(
            "--format",
            help="A live table on standard error, or rows on standard output as they come.",
        ),
    ] = RowFormat.TABLE,
    picture: Annotated[
        Path | None,
        typer.Option(help="Keep the newest annotated picture in this file (.jpg)."),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(help="Look once per interval, such as 0.5s; default: as often as possible."),
    ] = None,
    smooth: Annotated[
        str,
        typer.Option(help="Time constant for smoothing each person's emotion; 0 for none."),
    ] = f"{TrackingConfig.smoothing}s",
    duration: Annotated[
        str | None, typer.Option("--for", help="End after this time; default: never.")
    ] = None,
    patience: Annotated[
        str, typer.Option(help="Treat the camera as lost after this long without a frame.")
    ] = f"{WatchConfig.patience:g}s",
    retry: Annotated[
        str | None,
        typer.Option(help="Open a lost camera again after this time; default: end."),
    ] = None,
    detector: DetectorOption = DEFAULT_DETECTOR,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = None,
    provider: FacesProviderOption = None,
    flip: FlipOption = False,
    min_score: MinScoreOption = None,
    long_side: LongSideOption = None,
) -> None:
    """Watch a camera: find the faces, follow the people, and tell their emotions right now.

    Of the frames that arrive while one is processed, only the newest is kept. Ctrl-C ends it.
    """
    require_writable(picture)
    watching = WatchConfig(
        every=None if every is None else parse_seconds(every, "--every"),
        tracking=TrackingConfig(parse_seconds(smooth, "--smooth")),
        patience=parse_seconds(patience, "--patience"),
        retry=None if retry is None else parse_seconds(retry, "--retry"),
        duration=None if duration is None else parse_seconds(duration, "--for"),
    )
    # Late, because drawing and engines take longer to import than --help may.
    from glamor_cli.predict.predictor import PredictConfig
    from glamor_cli.predict.watch import watch as watch_camera

    shown = None
    if picture is not None:
        from glamor_cli.rendering.live_picture import LivePicture

        shown = LivePicture(picture)
    config = PredictConfig(
        weights=weights,
        detector=detector,
        device=device,
        threads=threads,
        provider=provider,
        flip=flip,
        min_score=min_score,
        long_side=long_side,
        keep_images=shown is not None,
    )
    account = _Account()
    try:
        with _open_sink(row_format) as sink:
            for prediction in watch_camera(camera, config, watching, _print_loss):
                rows = prediction.rows()
                sink.write(rows)
                account.add(rows)
                if shown is not None:
                    shown.update(prediction)
    finally:
        account.print()


def _open_sink(row_format: RowFormat) -> AbstractContextManager[RowSink]:
    if row_format is RowFormat.TABLE and console.is_interactive:
        from glamor_cli.cli.live_table import live_table

        return live_table()
    return open_rows(row_format, None, VIDEO_COLUMNS)


def _print_loss(error: DataError) -> None:
    say(f"{error.what}; trying again")


class _Account:
    """Counts what was looked at, and who was seen."""

    def __init__(self) -> None:
        self._looks = self._frames = self._people = 0
        self._seconds = 0.0

    def add(self, rows: list[FaceRow]) -> None:
        self._looks += 1
        for row in rows:
            self._frames = (row.frame or 0) + 1
            self._seconds = row.time or 0.0
            self._people = max(self._people, row.track or 0)

    def print(self) -> None:
        if self._looks:
            people = "1 person" if self._people == 1 else f"{self._people} people"
            say(
                f"looked at {self._looks} of {count(self._frames, 'frame')} in "
                f"{self._seconds:.0f} s, and saw {people}"
            )
