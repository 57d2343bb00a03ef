"""Training batches from a pair store, in an order that only the seed and the epoch decide."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.data.batches.draws import Part

if TYPE_CHECKING:
    from glamor_cli.data.store.pair_store import Split

_MIXING = 1
"""Sets the numbers that mixing draws apart from those that augmentation is seeded by."""


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step reads.

    Attributes:
        faces: uint8 (B, 96, 96, 3), RGB.
        contexts: uint8 (B, 128, 171, 3), RGB; None where the network has no context stream.
        targets: float32 (B, classes); each row sums to 1.
        labels: int64 (B), the classes to be judged by; of a mixed pair, that of its first part.
        part: Which rows of the whole batch these are.
    """

    faces: Tensor
    contexts: Tensor | None
    targets: Tensor
    labels: Tensor
    part: Part


class TrainingBatches:
    """Shuffled batches of a split.

    Any epoch can be begun at any step and gives what an undisturbed run would have seen there,
    because its order depends on nothing but the seed and its number.

    Args:
        split: Where the pairs are.
        rows: Which of its rows take part, int64 [N].
        batch_size: Pairs per batch, of all processes together; the last of an epoch may hold
            fewer.
        seed: Of the shuffling.
        with_contexts: Whether contexts are read at all.
        share: Share of the rows that an epoch sees; each epoch draws others.
        mix: Largest share of another pair of the batch that is mixed into a pair, into its targets
            too (mixup, Zhang et al. 2018, arXiv 1710.09412); each pair draws its own, from 0 up.
        rank: Which part of each batch to read, where several processes share them.
        size: How many processes do.
    """

    def __init__(
        self,
        split: "Split",
        rows: NDArray[np.int64],
        batch_size: int,
        seed: int,
        *,
        with_contexts: bool = True,
        share: float = 1.0,
        mix: float = 0.0,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.split = split
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.with_contexts = with_contexts
        self.mix = mix
        self.rank, self.size = rank, size
        self.count = math.ceil(share * len(rows))
        self._targets = _targets(split)

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(self.count / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Yield this process's part of an epoch's batches from step ``start`` on.

        The next is read ahead.
        """
        shuffled = np.random.default_rng((self.seed, number)).permutation(len(self.rows))
        order = self.rows[shuffled[: self.count]]

        def read(step: int) -> Batch:
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            return self._read(rows, (self.seed, number, step, _MIXING))

        with ThreadPoolExecutor(1, "read-ahead") as reader:
            reading = (reader.submit(read, step) for step in range(start, len(self)))
            following = next(reading, None)
            while following is not None:
                batch, following = following.result(), next(reading, None)
                yield batch

    def _read(self, rows: NDArray[np.int64], seed: tuple[int, ...]) -> Batch:
        # In the file's order: a batch then costs a sweep over the file, not a seek for each row.
        order = np.argsort(rows)
        rows, neighbours = rows[order], np.roll(rows, 1)[order]
        part = Part.of(len(rows), self.rank, self.size)
        batch = self._take(rows[part.rows], part)
        if not self.mix:
            return batch
        # With its neighbour as they were shuffled: in the file, where class folders lie one after
        # another, places tell classes, and Anger would always meet Surprise.
        others = self._take(neighbours[part.rows], part)
        # Drawn for the whole batch, so that the number of processes changes nothing.
        drawn = np.random.default_rng(seed).random(len(rows), np.float32)
        shares = self.mix * drawn[part.rows]
        return _mix(batch, others, torch.from_numpy(shares))

    def _take(self, rows: NDArray[np.int64], part: Part) -> Batch:
        return Batch(
            torch.from_numpy(self.split.faces[rows]),
            torch.from_numpy(self.split.contexts[rows]) if self.with_contexts else None,
            torch.from_numpy(self._targets[rows]),
            torch.from_numpy(self.split.labels[rows]),
            part,
        )


def _mix(batch: Batch, others: Batch, shares: Tensor) -> Batch:
    """Replace a share of each pair, (B), by that of another."""

    def mix(images: Tensor, other: Tensor) -> Tensor:
        mixed = images.float().lerp_(other.float(), shares[:, None, None, None])
        return mixed.round_().to(torch.uint8)

    contexts = batch.contexts
    if contexts is not None and others.contexts is not None:
        contexts = mix(contexts, others.contexts)
    targets = batch.targets.lerp(others.targets, shares[:, None])
    return Batch(mix(batch.faces, others.faces), contexts, targets, batch.labels, batch.part)


def _targets(split: "Split") -> NDArray[np.float32]:
    """Soft labels where there are any, else one-hot: float32 [N, classes]."""
    if split.targets is not None:
        return np.asarray(split.targets, np.float32)
    classes = len(split.classes)
    one_hot: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[split.labels]
    return one_hot
