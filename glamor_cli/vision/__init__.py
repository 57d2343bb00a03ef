"""From a file to face/context pairs, which are NumPy arrays: images, videos, faces. Never torch."""
