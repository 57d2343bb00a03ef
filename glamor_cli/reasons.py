"""What an exception of others says, short enough for a message of ours."""


def reason_of(error: BaseException) -> str:
    """Give the first line that says something, or the exception's name where none does."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
