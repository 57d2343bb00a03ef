"""An epoch's weights while they wait to become the run's best.

They are written before the checkpoint that calls them the best, and renamed after it. A run killed
in between has neither lost them nor weights in ``best.safetensors`` that it knows nothing of.
"""

from pathlib import Path

from glamor_cli.training.config import BEST

_CANDIDATE = ".candidate-"
CANDIDATES = f"{_CANDIDATE}*.safetensors"
"""What matches their names."""


def candidate_path(folder: Path, epoch: int) -> Path:
    """Where an epoch's weights wait for the checkpoint that calls them the best."""
    return folder / f"{_CANDIDATE}{epoch}.safetensors"


def keep_candidate(folder: Path, epoch: int | None) -> None:
    """Make an epoch's weights ``best.safetensors``, if they wait, and remove all others that do.

    Args:
        folder: The run's folder.
        epoch: The best one as the checkpoint has it; None where there is no checkpoint.
    """
    if epoch is not None and candidate_path(folder, epoch).exists():
        candidate_path(folder, epoch).replace(folder / BEST)
    for other in folder.glob(f"{_CANDIDATE}*"):
        other.unlink(missing_ok=True)
