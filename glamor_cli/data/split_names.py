"""What the splits of data sets are called, where a command must choose among them."""

TRAIN_SPLIT = "train"
HELD_OUT_SPLITS = ("test", "validation", "val")
"""Where networks are judged, the most telling first."""
