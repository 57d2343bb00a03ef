"""What the splits of data sets are called, where a command must choose among them."""

from collections.abc import Sequence

TRAIN_SPLIT = "train"
WHOLE_SPLIT = "all"
"""The split of a data set that has none."""
VALIDATION_SPLITS = ("validation", "val", "valid")
"""Where a training's best epoch is chosen."""
HELD_OUT_SPLITS = ("test", *VALIDATION_SPLITS)
"""Where networks are judged, the most telling first."""


def find_split(names: Sequence[str], splits: Sequence[str]) -> str | None:
    """Find the first of some names among splits, in other capitals where none is written so.

    Args:
        names: Whose order decides.
        splits: All that there are to choose from.

    Returns:
        The split as it is written; None where there is none of these names.
    """
    for name in names:
        if name in splits:
            return name
    for name in names:
        for split in splits:
            if split.lower() == name.lower():
                return split
    return None
