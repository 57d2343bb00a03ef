"""What a library's exception says, on one line of a message of ours."""


def reason_of(error: BaseException) -> str:
    """Give the first line that says something, or the exception's name where none does.

    For libraries whose first line is the reason, and the rest where in their source it was.
    """
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__


def whole_reason_of(error: BaseException) -> str:
    """Give all that it says as one line, or the exception's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
