"""Random numbers for batches, also where several processes share one batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Part:
    """The rows of a batch that one of several processes works on.

    Attributes:
        count: Rows of the whole batch.
        start: The first row of the part.
        stop: The row after its last.
        idle: Whether the part only keeps its process in step: where there are fewer rows than
            processes, some work on another's row, and their results do not count.
    """

    count: int
    start: int
    stop: int
    idle: bool = False

    @classmethod
    def of(cls, count: int, rank: int = 0, size: int = 1) -> "Part":
        """Share ``count`` rows, at least one, out evenly among ``size`` processes."""
        start, stop = rank * count // size, (rank + 1) * count // size
        return cls(count, start, stop) if start < stop else cls(count, 0, 1, idle=True)

    @property
    def rows(self) -> slice:
        """Where the part lies in the whole."""
        return slice(self.start, self.stop)

    def __len__(self) -> int:
        """How many rows the part adds to the whole."""
        return 0 if self.idle else self.stop - self.start


@dataclass(frozen=True)
class Draws:
    """Random numbers for each row of a batch.

    A process that works on a part draws for the whole batch and takes its own rows, so that the
    number of processes changes nothing.

    Attributes:
        generator: Where they come from; all processes seed theirs alike.
        part: The rows that are here; None where the whole batch is.
    """

    generator: Generator
    part: Part | None = None

    def uniform(self, count: int, *shape: int) -> Tensor:
        """Draw from [0, 1): float32 (count, *shape), for ``count`` rows here."""
        return self._own(self._uniform(self._whole(count), *shape))

    def integers(self, count: int, limit: int) -> Tensor:
        """Draw from 0 to ``limit - 1``: int64 (count), for ``count`` rows here."""
        whole = (self._whole(count),)
        device = self.generator.device
        return self._own(torch.randint(limit, whole, generator=self.generator, device=device))

    def choose(self, count: int, share: float) -> tuple[Tensor, "Draws"]:
        """Choose rows, each with probability ``share``.

        Returns:
            A mask over the ``count`` rows here, bool (count), and what draws for the chosen ones.
        """
        chosen = self._uniform(self._whole(count)) < share
        if self.part is None:
            return chosen, self
        before = int(chosen[: self.part.start].sum())
        here = chosen[self.part.rows]
        part = Part(int(chosen.sum()), before, before + int(here.sum()))
        return here, Draws(self.generator, part)

    def _uniform(self, *shape: int) -> Tensor:
        """Draw for rows of the whole batch."""
        return torch.rand(*shape, generator=self.generator, device=self.generator.device)

    def _whole(self, count: int) -> int:
        return count if self.part is None else self.part.count

    def _own(self, values: Tensor) -> Tensor:
        return values if self.part is None else values[self.part.rows]


def seed_step(seed: int, epoch: int, step: int, part: Part | None = None) -> Draws:
    """Seed all that is random in a training step by its number, so that nothing else decides it.

    Args:
        seed: The training's.
        epoch: From 0.
        step: Of the epoch, from 0.
        part: The rows that are here; None where the whole batch is.

    Returns:
        What the augmentation draws from; torch's own generator, which dropout uses, is seeded too.
    """
    first, second = np.random.SeedSequence((seed, epoch, step)).generate_state(2, np.uint64)
    torch.manual_seed(int(first))
    return Draws(torch.Generator().manual_seed(int(second)), part)
