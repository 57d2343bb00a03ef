"""An epoch sees every pair once, or the share of them that a recipe asks for."""

from dataclasses import dataclass

import numpy as np

from glamor_cli.data.batches.training_batches import TrainingBatches


@dataclass
class Numbered:
    """A split whose every face is filled with its row's number."""

    faces: np.ndarray
    contexts: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ("Happy", "Sad")
    targets: None = None


def numbered(count: int) -> Numbered:
    faces = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Numbered(faces, faces, np.zeros(count, np.int64))


def seen(batches: TrainingBatches, epoch: int, start: int = 0) -> list[int]:
    return [int(face) for batch in batches.epoch(epoch, start) for face in batch.faces.flatten()]


def test_an_epoch_covers_the_split_once_in_an_order_of_its_own() -> None:
    batches = TrainingBatches(numbered(23), np.arange(23), 4, seed=0)
    first, second = seen(batches, 0), seen(batches, 1)
    assert len(batches) == 6
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second
    assert seen(batches, 0, start=2) == first[8:]


def test_a_share_of_the_split_is_another_one_each_epoch() -> None:
    batches = TrainingBatches(numbered(40), np.arange(40), 4, seed=0, share=0.25)
    epochs = [seen(batches, number) for number in range(20)]
    assert all(len(set(rows)) == 10 for rows in epochs)
    assert len(batches) == 3
    assert set().union(*epochs) == set(range(40))
