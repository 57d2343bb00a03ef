"""From a file to face/context pairs: images, faces, pairs. NumPy only, never torch."""
