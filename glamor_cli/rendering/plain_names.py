"""Names of files, classes and weights as pictures can show them."""


def plain_name(name: str, longest: int, *, middle: bool = False) -> str:
    """Shorten a name, and keep matplotlib from reading formulas or line breaks in it.

    Args:
        name: Any text.
        longest: Letters to show, at most.
        middle: Leave out the middle of a longer one, not its end.
    """
    shown = "".join(letter if letter.isprintable() else " " for letter in name)
    if len(shown) > longest:
        half = longest // 2 - 2
        shown = f"{shown[:half]}...{shown[-half:]}" if middle else f"{shown[: longest - 1]}…"
    # A dollar sign would begin a formula.
    return shown.replace("$", r"\$")
