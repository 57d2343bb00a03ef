"""What torchrun says of this process, read without torch."""

import os


def processes() -> int:
    """Tell how many processes torchrun started together with this one: 1 without it."""
    count = os.environ.get("WORLD_SIZE", "1")
    return int(count) if count.isdecimal() else 1


def local_rank() -> int:
    """Tell this process's number on its machine, from 0."""
    rank = os.environ.get("LOCAL_RANK", "0")
    return int(rank) if rank.isdecimal() else 0


def is_follower() -> bool:
    """Tell whether another process prints and writes for this one."""
    return processes() > 1 and os.environ.get("RANK", "0") != "0"
