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

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image

from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.cues import Cue
from glamor_cli.data.scenes.drawing import (
    BUST,
    MOUTHS,
    RINGS,
    draw_background,
    draw_cue,
    draw_person,
    face_box,
)
from glamor_cli.errors import ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.vision.pairs import CONTEXT_SHAPE, Box

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

_TRIES = 64  # placements of the cues tried at once for one place of the person


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


def draw_scene(config: SceneConfig, split: str, index: int) -> Scene:
    """Draw scene ``index`` of a split; the same arguments always give the same scene.

    Labels and kinds are balanced: any 21 scenes in a row (14 of two discs), from a multiple of 21
    (14) on, hold each pair of label and kind once.

    Raises:
        ConfigError: There is no such split, or the index is negative.
    """
    if split not in config.counts:
        raise ConfigError(
            f"there is no split {split!r}", f"Choose one of: {', '.join(config.counts)}."
        )
    if index < 0:
        raise ConfigError(f"the index of a scene must be 0 or more, not {index}", "Count from 0.")
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


def _scaled(box: Box, scale: int) -> Box:
    x1, y1, x2, y2 = (side * scale for side in box)
    return Box(x1, y1, x2, y2)
