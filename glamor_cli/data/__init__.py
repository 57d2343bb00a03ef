"""Data sets, pair stores, scenes and training batches."""
