"""An epoch sees every pair once, or the share of them that a recipe asks for, mixed or not."""

from dataclasses import dataclass

import numpy as np
import torch

from glamor_cli.data.batches.training_batches import Batch, TrainingBatches


@dataclass
class Numbered:
    """A split whose every face is filled with its row's number."""

    faces: np.ndarray
    contexts: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ("Happy", "Sad")
    targets: np.ndarray | None = None


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


CLASSES = tuple("abcdefghi")
"""As many as pairs, so that a target tells what a pair was mixed of."""


def telling() -> Numbered:
    values = 25 * np.arange(len(CLASSES), dtype=np.uint8)[:, None, None, None]
    return Numbered(values, values, np.arange(len(CLASSES)), CLASSES)


def mixed(epoch: int, start: int = 0, *, rank: int = 0, size: int = 1) -> list[Batch]:
    """Batches of four, four and one, each pair with up to two fifths of another."""
    rows = np.arange(len(CLASSES))
    batches = TrainingBatches(telling(), rows, 4, seed=3, mix=0.4, rank=rank, size=size)
    return list(batches.epoch(epoch, start))


def test_faces_contexts_and_targets_are_mixed_alike() -> None:
    whole = TrainingBatches(telling(), np.arange(len(CLASSES)), 4, seed=3).epoch(0)
    shares = []
    for batch, before in zip(mixed(0), whole, strict=True):
        assert batch.contexts is not None
        assert batch.faces.dtype == torch.uint8
        expected = (batch.targets @ (25.0 * torch.arange(len(CLASSES)))).round()
        assert torch.equal(batch.faces.flatten().float(), expected)
        assert torch.equal(batch.contexts.flatten().float(), expected)
        assert torch.equal(batch.labels, before.targets.argmax(1))
        for target, alone in zip(batch.targets, before.targets, strict=True):
            assert torch.isclose(target.sum(), torch.tensor(1.0))
            assert target.argmax() == alone.argmax()
            assert not (target - alone)[before.targets.sum(0) == 0].any()  # all from the batch
            shares.append(1 - float(target.max()))
    assert shares.pop() == 0  # the last is alone in its batch
    assert 0 < min(shares) < max(shares) <= 0.4
    assert len(set(shares)) == 8


def test_a_network_of_faces_alone_reads_and_mixes_no_contexts() -> None:
    batches = TrainingBatches(telling(), np.arange(9), 4, seed=3, with_contexts=False, mix=0.4)
    for alone, batch in zip(batches.epoch(0), mixed(0), strict=True):
        assert alone.contexts is None
        assert torch.equal(alone.faces, batch.faces)
        assert torch.equal(alone.targets, batch.targets)


def test_soft_labels_are_the_targets() -> None:
    split = numbered(23)
    split.targets = np.random.default_rng(0).random((23, 2), np.float32)
    for batch in TrainingBatches(split, np.arange(23), 4, seed=0).epoch(0):
        assert np.array_equal(batch.targets, split.targets[batch.faces.flatten()])


def test_pairs_are_mixed_with_any_class_though_the_file_is_in_their_order() -> None:
    """Class folders lie one after another in a store."""
    pairs, classes = 210, 7
    values = np.zeros((pairs, 1, 1, 1), np.uint8)
    split = Numbered(values, values, np.arange(pairs) * classes // pairs, tuple("abcdefg"))
    batches = TrainingBatches(split, np.arange(pairs), 32, seed=0, mix=0.4)
    partners = np.zeros((classes, classes))
    for epoch in range(30):
        for batch in batches.epoch(epoch):
            for target in batch.targets.numpy():
                own, other = np.argsort(-target)[:2]
                partners[own, other if target[other] > 0 else own] += 1
    shares = partners / partners.sum(axis=1, keepdims=True)
    assert 0.08 < shares.min() < shares.max() < 0.2


def test_mixing_does_not_depend_on_what_went_before_or_on_processes() -> None:
    first, again = mixed(0), mixed(0, start=1)
    assert [batch.targets.tolist() for batch in first[1:]] == [b.targets.tolist() for b in again]
    assert first[0].targets.tolist() != mixed(1)[0].targets.tolist()
    parts = [mixed(0, rank=rank, size=3) for rank in range(3)]
    for step, whole in enumerate(first):
        shared = [batches[step] for batches in parts if not batches[step].part.idle]
        for name in ("faces", "contexts", "targets", "labels"):
            joined = torch.cat([getattr(batch, name) for batch in shared])
            assert torch.equal(joined, getattr(whole, name))
