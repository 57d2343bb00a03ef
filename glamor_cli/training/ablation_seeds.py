"""How often an ablation trains each network, free of torch, for the command line."""

SEEDS = 3
"""Trainings of each variant unless told otherwise, with the seeds 0, 1 and 2."""
