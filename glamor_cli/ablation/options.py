"""An ablation's options. Free of torch, for the command line."""

SEEDS = 3
"""Trainings of each variant unless told otherwise, with the seeds 0, 1 and 2."""
TEST_SPLIT = "test"
"""Judges the networks, unless told otherwise."""
