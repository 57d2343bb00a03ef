"""The cues of a pair store's rows: which scene each is of, and whether it is that scene at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np

from glamor_cli.data.scenes.cues import Cue, read_cues
from glamor_cli.data.store.pair_store import Split
from glamor_cli.errors import DataError
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import Box, sample_context, to_uint8

_NAME_PARTS = 4  # images/<split>/<Class>/<file>
_COMPARED = 5
"""Scenes whose pictures are compared, spread over the split: another folder differs in all."""
_ALIKE = 12.0
"""Mean difference of a context's levels: below 1 after the JPEG step, above 25 in other scenes."""
_REMEDY = "Give the folder of scenes that the store was made from."


def find_cues(split: Split, scenes: Path) -> list[Cue]:
    """Find the cues of every row of a split.

    All generated folders name their scenes alike. So some of the pictures are compared with the
    contexts of the store.

    Args:
        split: Of a store that was made from these scenes.
        scenes: The folder, as ``glamor scenes`` writes it.

    Returns:
        One for each row.

    Raises:
        DataError: The folder does not hold generated scenes, a row is not one of them, or a scene
            there is not the picture in the store.
    """
    cues = match_cues(split.sources, read_cues(scenes))
    for row in np.linspace(0, len(cues) - 1, min(_COMPARED, len(cues))).round().astype(int):
        image = read_image(scenes / cues[row].name)
        expected = to_uint8(sample_context(image, Box(*split.boxes[row].tolist())))
        difference = np.abs(expected.astype(float) - split.contexts[row]).mean()
        if difference > _ALIKE:
            raise DataError(
                f"{cues[row].name} in {scenes} is not the scene that the store was made from",
                _REMEDY,
            )
    return cues


def match_cues(sources: Sequence[str], cues: Mapping[str, Cue]) -> list[Cue]:
    """Find the scene of each row of a pair store, by its name.

    Args:
        sources: Names or paths that end in ``images/<split>/<Class>/<file>``, as a split of a pair
            store lists them.
        cues: What `glamor_cli.data.scenes.cues.read_cues` read.

    Raises:
        DataError: A source is not one of the scenes.
    """
    matched = []
    for source in sources:
        name = "/".join(PurePath(source).parts[-_NAME_PARTS:])
        if name not in cues:
            raise DataError(f"{source} is not one of the scenes in cues.csv", _REMEDY)
        matched.append(cues[name])
    return matched
