"""Which pairs of a store judge a network, and whether it has learnt from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.learnt_pairs import mark_learnt
from glamor_cli.data.split_names import HELD_OUT_SPLITS, TRAIN_SPLIT, find_split
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import ConfigError
from glamor_cli.weights.metadata import Metadata


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """The pairs of a split that judge K networks.

    Attributes:
        split: The split's name.
        rows: int64 [N], which of its M pairs.
        learnt_from: bool [K, M], which pairs each network says it learnt from.
        known: bool [K], whether these are all it learnt from.
        held_out: Whether they are only those of the split that no network learnt from.
        chose_epoch: For each network, whether the split, or its held-out part, chose the epoch that
            was kept; None where it does not say.
    """

    split: str
    rows: NDArray[np.int64]
    learnt_from: NDArray[np.bool_]
    known: NDArray[np.bool_]
    held_out: bool
    chose_epoch: tuple[bool | None, ...]

    @property
    def learnt(self) -> tuple[int | None, ...]:
        """For each network, how many of the N pairs it learnt from; None where it does not say."""
        counts = self.learnt_from[:, self.rows].sum(axis=1)
        return tuple(
            int(count) if count or known else None
            for count, known in zip(counts, self.known, strict=True)
        )

    def notes(self, names: Sequence[str]) -> list[str]:
        """Say whom and what the figures flatter, a sentence each; none where they do not.

        Args:
            names: The networks', in their order.
        """
        # Of one that learnt from the split, there is worse to say.
        chosen = [
            f"{name} was chosen among its epochs by its accuracy on {self.split}: figures on new "
            "pictures may be worse."
            for name, chose, learnt in zip(names, self.chose_epoch, self.learnt_from, strict=True)
            if chose and not learnt.any()
        ]
        if self.held_out:
            learnt = np.asarray(self.learnt_from.any(axis=0))
            trainings = "training" if len(names) == 1 else "every training"
            return [
                f"Only the pairs of {self.split} that were held out of {trainings} are used, "
                f"{(~learnt).sum()} of {len(learnt)}. They also chose the epoch that was kept, so "
                f"figures on new pictures may be worse; --split {self.split} uses all pairs.",
                *chosen,
            ]
        flattered = [
            f"{name} learnt from {learnt} of these {len(self.rows)} pairs: its figures are too "
            "high, and it will do worse on new pictures."
            for name, learnt in zip(names, self.learnt, strict=True)
            if learnt
        ]
        return flattered + chosen


def open_pairs(
    store: PairStore, name: str | None, networks: Sequence[Metadata]
) -> tuple[Split, JudgedPairs]:
    """Open the split to judge by, and choose its pairs.

    Args:
        store: The pair store.
        name: The split that was asked for, all of which judges; None takes what ``choose_split``
            chooses, and of it what no network learnt from.
        networks: What the networks say of themselves.

    Raises:
        ConfigError: There is no such split, or it cannot be told.
    """
    split = store.split(choose_split(store.splits, networks) if name is None else name)
    return split, choose_pairs(store, split, networks, whole=name is not None)


def choose_split(splits: tuple[str, ...], networks: Sequence[Metadata] = ()) -> str:
    """Choose the split that is meant for evaluation.

    A store's only split may be called ``train``: it is meant where every network held a part of
    what it learnt from out.

    Args:
        splits: All that the store has.
        networks: What the networks to be judged say of themselves.

    Raises:
        ConfigError: It cannot be told.
    """
    found = find_split(HELD_OUT_SPLITS, splits)
    if found is not None:
        return found
    train = find_split((TRAIN_SPLIT,), splits)
    others = [name for name in splits if name != train]
    if len(others) == 1:
        return others[0]
    held_out = [any(one.held_out_seed is not None for one in net.learnt_from) for net in networks]
    if splits == (train,) and held_out and all(held_out):
        return splits[0]
    raise ConfigError(
        f"the store has the splits {', '.join(splits) or '(none)'}, and none was chosen",
        "Choose one with --split.",
    )


def choose_pairs(
    store: PairStore, split: Split, networks: Sequence[Metadata], *, whole: bool
) -> JudgedPairs:
    """Choose the pairs of a split that judge networks.

    Args:
        store: The split's store.
        split: Which was chosen.
        networks: What the networks say of themselves.
        whole: Take all pairs, as when the split was asked for by its name; else only those that
            no network learnt from, if there are any.
    """
    learnt_from = np.array([mark_learnt(store, split, metadata) for metadata in networks])
    known = np.array([metadata.knows_learnt for metadata in networks])
    learnt = learnt_from.any(axis=0)
    held_out = not whole and bool(learnt.any()) and not learnt.all()
    rows = np.flatnonzero(~learnt) if held_out else np.arange(len(split))
    digest = store.info.source[split.name].sha256
    chose_epoch = tuple(
        None if one.chosen_by is None else one.chosen_by == digest for one in networks
    )
    return JudgedPairs(split.name, rows, learnt_from, known, held_out, chose_epoch)
