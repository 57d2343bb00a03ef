"""Generated scenes that only the whole network can read: neither face nor context suffices.

A scene holds a drawn person and two or three discs (the cues). A disc's ring says its kind (white,
black or gray), its fill says an emotion (seven colours), and the person's mouth says which kind
counts. The label is the fill of the disc whose ring the mouth names: the deciding cue. The others
are decoys.

What each stream alone can know (the bounds hold for any network, however trained):

* Face alone: 1/7. Mouth, looks and label are drawn independently and labels are balanced, so the
  face says nothing of the label: P(label | face) = P(label) = 1/7.
* Context alone: 1/2 with two discs, 1/3 with three. The discs of a scene bear different emotions,
  one disc of each kind, and which kind counts is independent of everything in the context (where
  discs and person are, who bears which emotion). Given the context, the emotions on show are
  equally probable, and the others have probability 0. The best answer names any one on show.
  (Were three fills drawn independently, two or three could agree, and the context alone would
  allow 1/3 * 210/343 + 2/3 * 126/343 + 7/343 = 47%.)
* Both: 100%. A network must bind: the mouth chooses a ring, the ring chooses a place, the fill at
  that place is the answer. Attention that does not see the face can find the discs, but not choose.

Where things are. Everything is laid out on the grid of the sampled context, 128 rows x 171 columns
(`vision.pairs`), so a scene of scale 2 is 342x256 pixels and is sampled without loss of place. All
cues lie whole inside the evaluation's crop. Training crops 112x112 at random; a cue lies whole in
89% of those crops (measured over its places), and mostly in the others. Cues are at least
32 sampled pixels apart in one direction, two cells of the 7x7 attention map, so that the cell of
one is never a neighbour of another's. The person may be anywhere that leaves the cues free, also
outside of the crop: the face stream gets the face from the whole image.
"""

import csv
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from glamor_cli.data.crop_files import box_file_name, write_box
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scene_drawing import (
    BUST,
    MOUTHS,
    RINGS,
    draw_background,
    draw_cue,
    draw_person,
    face_box,
)
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.atomic import cannot_write, write_text
from glamor_cli.labels import EMOTIONS
from glamor_cli.settings import require_seed
from glamor_cli.vision.pairs import CONTEXT_SHAPE, Box

CUES_FILE = "cues.csv"
"""Beside ``images/`` and ``crop/``: where the cues of each scene are."""

CUE_DIAMETER = 28
"""In pixels of the sampled context; a cell of the 7x7 attention map has 16."""
CUE_ROWS = (14, 114)
CUE_COLUMNS = (45, 126)
"""Where cues may lie in the sampled context; the evaluation's crop is rows 8:120, columns 29:141,
and every training crop holds rows 16:112, columns 59:112."""
CUE_DISTANCE = 32
"""Least distance between the centres of two cues, down or across, in sampled pixels."""
HEAD_SIZES = (32, 44)
"""Least and greatest side of the square around a head, in sampled pixels."""

MAX_SCALE = 24
"""Of a scene; it makes 4104x3072 pixels."""

MAX_CUES = len(RINGS)
"""Of a scene: one of each kind."""

_TRIES = 64  # placements of the cues tried at once for one place of the person


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


@dataclass(frozen=True)
class Scene:
    """One scene, drawn.

    Attributes:
        image: RGB.
        face: The face's box, brows to chin, in pixels.
        cue: What is known of it.
    """

    image: Image.Image
    face: Box
    cue: Cue


def make_scenes(
    out: Path, config: SceneConfig, *, progress: Callable[[int], object] | None = None
) -> Path:
    """Write scenes as an NCAER-S folder with crop files, and `cues.csv`.

    ``out`` appears only when all is written; a killed run leaves no half of it. A folder that is
    there and empty stays and gets all at the end, ``cues.csv`` last.

    Args:
        out: ``images/<split>/<Class>/<name>.png``, ``crop/<split>/<Class>/<name>.txt`` and
            ``cues.csv`` are made in it.
        config: How many scenes, and which.
        progress: Called after each scene with how many are done.

    Returns:
        ``out``.

    Raises:
        ConfigError: A count, the seed or the scale makes no sense, ``out`` holds something
            already, or its folder cannot be written to.
    """
    _check(config)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"{out} exists already and is not an empty folder",
            "Choose another folder, or remove this one.",
        )
    try:
        # Links are followed first, and "." gets its name.
        place = Path(os.path.realpath(out))
        # A folder that is there stays, as it may be a mount or the one that one works in.
        within = place.is_dir()
        beside = place if within else place.parent
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, prefix=".scenes-", suffix=".partial") as drawn:
            # A folder within, because TemporaryDirectory makes its own private.
            whole = Path(drawn) / "scenes"
            whole.mkdir()
            write_text(
                whole / CUES_FILE, _to_csv(_write_images(whole, config, progress), config.cues)
            )
            if within:
                for name in ("images", "crop", CUES_FILE):
                    (whole / name).replace(place / name)
            else:
                whole.replace(place)
    except OSError as error:
        raise cannot_write(out, error.strerror or error) from error
    return out


def draw_scene(config: SceneConfig, split: str, index: int) -> Scene:
    """Draw scene ``index`` of a split; the same arguments always give the same scene.

    Labels and kinds are balanced: any 21 scenes in a row (14 of two discs), from a multiple of 21
    (14) on, hold each pair of label and kind once.

    Raises:
        KeyError: There is no such split.
    """
    rng = np.random.default_rng((config.seed, list(config.counts).index(split), index))
    scale = config.scale
    label = EMOTIONS[index % len(EMOTIONS)]
    kinds = tuple(RINGS)[: config.cues]
    kind = kinds[index // len(EMOTIONS) % config.cues]
    others = [name for name in EMOTIONS if name != label]
    decoy_labels = [others[i] for i in rng.permutation(len(others))[: config.cues - 1]]
    decoy_kinds = [name for name in kinds if name != kind]
    head, cues = _place(rng, config.cues)
    head, boxes = _scaled(head, scale), [_scaled(cue, scale) for cue in cues]

    image = draw_background(rng, scale)
    draw_person(image, rng, head, MOUTHS[kind])
    draw_cue(image, boxes[0], kind=kind, label=label)
    for box, other_kind, other_label in zip(boxes[1:], decoy_kinds, decoy_labels, strict=True):
        draw_cue(image, box, kind=other_kind, label=other_label)
    cue = Cue(
        split=split,
        name=f"images/{split}/{label}/{index:05d}.png",
        label=label,
        kind=kind,
        width=image.width,
        height=image.height,
        box=boxes[0],
        decoys=tuple(boxes[1:]),
    )
    return Scene(image, face_box(head), cue)


def read_cues(folder: Path) -> dict[str, Cue]:
    """Read `cues.csv` of a folder of scenes.

    Returns:
        Cues by name: the image's path relative to ``folder``, with forward slashes.

    Raises:
        DataError: There is no such file, or it was not written by `make_scenes`.
    """
    path = folder / CUES_FILE
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        cues = [_from_row(row) for row in rows]
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}",
            "Give a folder that glamor scenes made.",
        ) from error
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged or does not belong to generated scenes ({error})",
            "Make the scenes anew with glamor scenes.",
        ) from error
    return {cue.name: cue for cue in cues}


def _place(rng: np.random.Generator, count: int) -> tuple[Box, list[Box]]:
    """Find places for the head and the cues, in pixels of the sampled context.

    The places of the cues are exchangeable: the first is as likely anywhere as the others.
    """
    height, width = CONTEXT_SHAPE
    radius = CUE_DIAMETER // 2
    while True:
        side = int(rng.integers(HEAD_SIZES[0], HEAD_SIZES[1] + 1))
        x = int(rng.integers(0, width - side + 1))
        y = int(rng.integers(0, height - side + 1))
        columns = rng.integers(CUE_COLUMNS[0], CUE_COLUMNS[1] - 2 * radius + 1, (_TRIES, count))
        rows = rng.integers(CUE_ROWS[0], CUE_ROWS[1] - 2 * radius + 1, (_TRIES, count))
        bust = BUST[0] * side / 2
        middle = x + side / 2
        free = (
            (columns + 2 * radius < middle - bust)
            | (columns > middle + bust)
            | (rows + 2 * radius < y)
            | (rows > y + BUST[1] * side)
        ).all(axis=1)
        for one, other in combinations(range(count), 2):
            across = np.abs(columns[:, one] - columns[:, other])
            down = np.abs(rows[:, one] - rows[:, other])
            free &= np.maximum(across, down) >= CUE_DISTANCE
        found = np.flatnonzero(free)
        if len(found):
            corners = zip(columns[found[0]].tolist(), rows[found[0]].tolist(), strict=True)
            cues = [Box(cx, cy, cx + 2 * radius, cy + 2 * radius) for cx, cy in corners]
            return Box(x, y, x + side, y + side), cues


def _write_images(
    folder: Path, config: SceneConfig, progress: Callable[[int], object] | None
) -> Iterator[Cue]:
    """Write each scene's image and crop file, and pass on its cue."""
    done = 0
    for split, count in config.counts.items():
        for label in EMOTIONS[: min(count, len(EMOTIONS))]:
            (folder / "images" / split / label).mkdir(parents=True)
        for index in range(count):
            scene = draw_scene(config, split, index)
            path = folder / scene.cue.name
            # Level 1 is several times faster than the default and hardly larger on tiles.
            scene.image.save(path, compress_level=1)
            box_file = folder / "crop" / split / scene.cue.label / box_file_name(path.name)
            write_box(box_file, scene.face)
            done += 1
            if progress is not None:
                progress(done)
            yield scene.cue


_COLUMNS = ("split", "name", "label", "kind", "width", "height", *Box._fields)


def _to_csv(cues: Iterator[Cue], count: int) -> str:
    """Write cues as CSV; each scene has ``count`` discs."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    decoy_columns = (
        f"{_decoy(number)}{side}" for number in range(1, count) for side in Box._fields
    )
    writer.writerow((*_COLUMNS, *decoy_columns))
    for cue in cues:
        decoys = (side for decoy in cue.decoys for side in decoy)
        writer.writerow(
            (cue.split, cue.name, cue.label, cue.kind, cue.width, cue.height, *cue.box, *decoys)
        )
    return text.getvalue()


def _from_row(row: dict[str, str]) -> Cue:
    """Read what `_to_csv` wrote."""

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


def _scaled(box: Box, scale: int) -> Box:
    x1, y1, x2, y2 = (side * scale for side in box)
    return Box(x1, y1, x2, y2)


def _check(config: SceneConfig) -> None:
    for split, count in config.counts.items():
        if count < 0:
            raise ConfigError(
                f"the number of {split} scenes must be 0 or more, not {count}", "Give 0 or more."
            )
    if not any(config.counts.values()):
        raise ConfigError("no split is given any scenes", "Ask for at least one scene.")
    require_seed(config.seed)
    if not 2 <= config.cues <= MAX_CUES:
        raise ConfigError(
            f"the number of discs in a scene must be 2 to {MAX_CUES}, not {config.cues}",
            f"Give --cues 2 to {MAX_CUES}.",
        )
    if not 1 <= config.scale <= MAX_SCALE:
        raise ConfigError(
            f"the scale must be 1 to {MAX_SCALE}, not {config.scale}",
            f"Give --scale 1 to {MAX_SCALE}; 2 makes 342x256.",
        )
