"""Which of the classes a folder or a manifest's cell means."""

from glamor_cli.labels import EMOTIONS

# Adjectives as FER2013's folders have them, nouns as FER+ and RAF-DB have them.
_ALIASES = {
    "angry": "Anger",
    "disgusted": "Disgust",
    "fearful": "Fear",
    "happiness": "Happy",
    "sadness": "Sad",
    "surprised": "Surprise",
}
_BY_NAME = {name.lower(): name for name in EMOTIONS} | {
    alias: name for alias, name in _ALIASES.items() if name in EMOTIONS
}


def find_class(name: str) -> str | None:
    """Find the class of this name, whatever its case: ``happy`` and ``Happiness`` are Happy.

    Returns:
        The class's name as ``EMOTIONS`` has it; None where the name is not a class's.
    """
    return _BY_NAME.get(name.strip().lower())


def known_classes() -> str:
    """List what is understood, for messages."""
    aliases = sorted(_ALIASES.keys() & _BY_NAME)
    others = f"or {', '.join(aliases)}; " if aliases else ""
    return f"{', '.join(EMOTIONS)} ({others}case does not matter)"
