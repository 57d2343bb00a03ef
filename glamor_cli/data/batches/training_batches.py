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


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step reads.

    Attributes:
        faces: uint8 (B, 96, 96, 3), RGB.
        contexts: uint8 (B, 128, 171, 3), RGB; None where the network has no context stream.
        targets: float32 (B, classes); each row sums to 1.
        part: Which rows of the whole batch these are.
    """

    faces: Tensor
    contexts: Tensor | None
    targets: Tensor
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
        share: Of the rows, how many an epoch sees; each epoch draws others.
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
        rank: int = 0,
        size: int = 1,
    ) -> None:
        self.split = split
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.with_contexts = with_contexts
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
        chunks = [
            order[step * self.batch_size : (step + 1) * self.batch_size]
            for step in range(start, len(self))
        ]
        with ThreadPoolExecutor(1, "read-ahead") as reader:
            following = reader.submit(self._read, chunks[0]) if chunks else None
            for index in range(len(chunks)):
                assert following is not None  # noqa: S101 - one is submitted per chunk
                batch = following.result()
                if index + 1 < len(chunks):
                    following = reader.submit(self._read, chunks[index + 1])
                yield batch

    def _read(self, rows: NDArray[np.int64]) -> Batch:
        # In the file's order: a batch then costs a sweep over the file, not a seek for each row.
        part = Part.of(len(rows), self.rank, self.size)
        rows = np.sort(rows)[part.rows]
        return Batch(
            torch.from_numpy(self.split.faces[rows]),
            torch.from_numpy(self.split.contexts[rows]) if self.with_contexts else None,
            torch.from_numpy(self._targets[rows]),
            part,
        )


def _targets(split: "Split") -> NDArray[np.float32]:
    """Soft labels where there are any, else one-hot: float32 [N, classes]."""
    if split.targets is not None:
        return np.asarray(split.targets, np.float32)
    classes = len(split.classes)
    one_hot: NDArray[np.float32] = np.eye(classes, dtype=np.float32)[split.labels]
    return one_hot
