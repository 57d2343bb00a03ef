"""Weights: what they say of themselves, where they lie, and reading and writing them."""
