"""Numbers of things in words."""


def count(number: int, thing: str) -> str:
    """Say how many there are of a thing.

    Args:
        number: How many.
        thing: Its name in the singular, of which an s makes the plural.

    Returns:
        ``1 face``, ``2 faces``.
    """
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
