"""``cues.csv``, beside generated scenes: where the discs of each scene are, and which decides."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glamor_cli.data.options import MAX_CUES
from glamor_cli.errors import DataError, reason_of
from glamor_cli.files.atomic import write_text
from glamor_cli.files.csv_line import csv_line
from glamor_cli.files.reading import open_file
from glamor_cli.vision.pairs import Box

CUES_FILE = "cues.csv"
"""Beside ``images/`` and ``crop/``: where the cues of each scene are."""

_COLUMNS = ("split", "name", "label", "kind", "width", "height", *Box._fields)


@dataclass(frozen=True)
class Cue:
    """What `cues.csv` knows of a scene: a row each.

    Attributes:
        split: ``train``, ``validation`` or ``test``.
        name: The image's path relative to the folder of scenes, with forward slashes.
        label: The scene's emotion, which the deciding cue bears.
        kind: The ring of the deciding cue: ``white``, ``black`` or ``gray``.
        width: The image's width in pixels.
        height: The image's height in pixels.
        box: The deciding cue, in pixels; x2 and y2 are exclusive.
        decoys: The other cues, in pixels.
    """

    split: str
    name: str
    label: str
    kind: str
    width: int
    height: int
    box: Box
    decoys: tuple[Box, ...]


def read_cues(folder: Path) -> dict[str, Cue]:
    """Read `cues.csv` of a folder of scenes.

    Returns:
        Cues by name: the image's path relative to ``folder``, with forward slashes.

    Raises:
        DataError: There is no such file, or it was not written by `make_scenes`.
    """
    path = folder / CUES_FILE
    try:
        with open_file(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        cues = [_from_row(row) for row in rows]
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {reason_of(error)}",
            "Give a folder that glamor scenes made.",
        ) from error
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged or does not belong to generated scenes ({error})",
            "Make the scenes again with glamor scenes.",
        ) from error
    return {cue.name: cue for cue in cues}


def write_cues(folder: Path, cues: Iterable[Cue], count: int) -> None:
    """Write `cues.csv` into a folder of scenes.

    Args:
        folder: Where.
        cues: Of all scenes.
        count: Discs in each scene.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    decoy_columns = (
        f"{_decoy(number)}{side}" for number in range(1, count) for side in Box._fields
    )
    lines = [csv_line((*_COLUMNS, *decoy_columns))]
    for cue in cues:
        decoys = (side for decoy in cue.decoys for side in decoy)
        cells = (cue.split, cue.name, cue.label, cue.kind, cue.width, cue.height, *cue.box, *decoys)
        lines.append(csv_line(cells))
    write_text(folder / CUES_FILE, "".join(lines))


def _from_row(row: dict[str, str]) -> Cue:
    """Read what `write_cues` wrote."""

    def box(prefix: str) -> Box:
        return Box(*(int(row[f"{prefix}{side}"]) for side in Box._fields))

    width, height = int(row["width"]), int(row["height"])
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width}x{height} pixels")
    return Cue(
        split=row["split"],
        name=row["name"],
        label=row["label"],
        kind=row["kind"],
        width=width,
        height=height,
        box=box(""),
        decoys=tuple(
            box(_decoy(number)) for number in range(1, MAX_CUES) if f"{_decoy(number)}x1" in row
        ),
    )


def _decoy(number: int) -> str:
    """Begin the names of a decoy's columns."""
    return f"decoy{number}_"
