"""Training batches from pair stores: their order, their randomness, their augmentation."""
