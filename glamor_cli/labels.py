"""The seven emotions, in the order of the network's outputs (OFFICIAL.md)."""

EMOTIONS: tuple[str, ...] = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
