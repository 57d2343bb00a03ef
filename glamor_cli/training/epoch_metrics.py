"""What is measured of a finished epoch, and which epoch's weights a run keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from glamor_cli.network.config import FACE_SIZE
from glamor_cli.training.recipes import Recipe


@dataclass(frozen=True)
class EpochMetrics:
    """A finished epoch: a line of ``metrics.jsonl``, whose keys these names are.

    Attributes:
        epoch: Which, from 1.
        train_loss: Mean over the epoch's training pairs, as they were learnt from.
        train_accuracy: Share of them that were right, by their labels.
        validation_loss: Mean over the validation pairs, after the epoch.
        validation_accuracy: Share of them that were right, by their labels.
        learning_rate: Of the last step.
        seconds: Spent on the steps; validation is not counted.
        images_per_second: Training pairs, over these seconds.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float


def best_epoch(history: Sequence[EpochMetrics], recipe: Recipe) -> EpochMetrics | None:
    """Find the epoch whose weights a run keeps: the most accurate on validation.

    With few validation pairs, equal accuracies are the rule: among them the epoch with the least
    validation loss is kept, because the first has learnt the least.

    Args:
        history: The finished epochs.
        recipe: Whose epochs on smaller faces are left out: the network is for whole ones.

    Returns:
        None while faces are still small.
    """
    eligible = [entry for entry in history if recipe.face_size(entry.epoch - 1) == FACE_SIZE]
    return max(
        eligible,
        key=lambda entry: (entry.validation_accuracy, -entry.validation_loss),
        default=None,
    )
