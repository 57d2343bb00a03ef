"""What a training tells of itself: while it runs, and at its end."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a run is, told after every step.

    Attributes:
        epoch: The epoch in progress, from 1.
        epochs: How many there are.
        step: Steps of the epoch that are done.
        steps: How many an epoch has.
        loss: Mean over the epoch so far.
        accuracy: Share of the epoch's training pairs so far that were right.
        images_per_second: Over the epoch so far.
        validation_accuracy: Of the last finished epoch; None before.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy: float
    images_per_second: float
    validation_accuracy: float | None

    @property
    def done(self) -> int:
        """Steps of the whole run that are done."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        finished: False where it was asked to stop; it can be resumed.
        best_accuracy: On validation; -1 where no epoch with faces of full size was finished.
        best_epoch: Where it was reached, from 1; 0 where there was none.
        epochs: How many were finished.
        judged_by: The split that validation is on, or ``a tenth of`` the training split.
        stopped: Whether it was asked to stop; so late, perhaps, that it was finished all the same.
    """

    finished: bool
    best_accuracy: float
    best_epoch: int
    epochs: int
    judged_by: str
    stopped: bool = False
