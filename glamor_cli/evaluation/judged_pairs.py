"""Which pairs of a store judge a network, and whether it has learnt from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.held_out import hold_out
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.weights.metadata import Metadata


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """The pairs of a split that judge K networks.

    Attributes:
        split: The split's name.
        rows: int64 [N], which of its M pairs.
        learnt_from: For each network, which of the M it learnt from, bool [M]; None where it does
            not say what it learnt from.
        held_out: Whether they are only those of the split that no network learnt from.
    """

    split: str
    rows: NDArray[np.int64]
    learnt_from: tuple[NDArray[np.bool_] | None, ...]
    held_out: bool

    @property
    def learnt(self) -> tuple[int | None, ...]:
        """For each network, how many of the N pairs it learnt from; None where it does not say."""
        return tuple(
            None if mask is None else int(mask[self.rows].sum()) for mask in self.learnt_from
        )

    def notes(self, names: Sequence[str]) -> list[str]:
        """Say whom and what the figures flatter, a sentence each; none where they do not.

        Args:
            names: The networks', in their order.
        """
        if self.held_out:
            return [
                f"Only the pairs of {self.split} that were held out of training are judged. They "
                "chose the epoch that was kept, so new pictures may be answered worse; "
                f"--split {self.split} takes all."
            ]
        return [
            f"{name} learnt from {learnt} of these {len(self.rows)} pairs: the figures flatter it, "
            "and new pictures will be answered worse."
            for name, learnt in zip(names, self.learnt, strict=True)
            if learnt
        ]


def choose_pairs(
    store: PairStore, split: Split, networks: Sequence[Metadata], *, whole: bool
) -> JudgedPairs:
    """Choose the pairs of a split that judge networks.

    Args:
        store: The split's store.
        split: Which was chosen.
        networks: What the networks say of themselves.
        whole: Take all pairs, as where the split was asked for by its name; else only those that
            no network learnt from, if there are any.
    """
    masks = tuple(_learnt(store, split, metadata) for metadata in networks)
    learnt = np.zeros(len(split), np.bool_)
    for mask in masks:
        if mask is not None:
            learnt |= mask
    held_out = not whole and bool(learnt.any()) and not learnt.all()
    rows = np.flatnonzero(~learnt) if held_out else np.arange(len(split))
    return JudgedPairs(split.name, rows, masks, held_out)


def _learnt(store: PairStore, split: Split, metadata: Metadata) -> NDArray[np.bool_] | None:
    """Mark the pairs that a network learnt from: bool [N]; None where it does not say."""
    if not metadata.learnt_from:
        return None
    learnt = np.zeros(len(split), np.bool_)
    for one in metadata.learnt_from:
        # The same images under another name are the same all the same.
        if one.sha256 != store.info.source[split.name].sha256:
            continue
        rows: slice | NDArray[np.int64] = slice(None)
        # Were other images of them left out, other pairs would be drawn.
        if one.held_out_seed is not None and one.pairs == len(split):
            rows, _ = hold_out(split.sources, one.held_out_seed)
        learnt[rows] = True
    return learnt
