"""What the splits of data sets are called, where a command must choose among them."""

TRAIN_SPLIT = "train"
WHOLE_SPLIT = "all"
"""The split of a data set that has none."""
VALIDATION_SPLITS = ("validation", "val", "valid")
"""Where a training's best epoch is chosen."""
HELD_OUT_SPLITS = ("test", *VALIDATION_SPLITS)
"""Where networks are judged, the most telling first."""
