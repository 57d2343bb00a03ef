"""Drawing as we mean it, whatever a ``matplotlibrc`` or a notebook has set."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

# Matplotlib's settings are the process's: of two threads that set them aside at once, one would
# bring back the other's.
_DRAWING = RLock()


@contextmanager
def own_style() -> Iterator[None]:
    """Draw and save with matplotlib's own defaults; also decorates functions.

    Saving needs it as much as drawing, because ticks and their labels are made late.
    """
    from matplotlib import style

    with _DRAWING, style.context("default"):
        yield
