"""Pair stores: the files, reading, writing, merging."""
