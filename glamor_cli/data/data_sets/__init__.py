"""Data sets as they lie on disk, opened as one stream of images."""
