"""The emotions, in the order of the network's outputs (docs/official-program.md, Labels)."""

EMOTIONS: tuple[str, ...] = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
