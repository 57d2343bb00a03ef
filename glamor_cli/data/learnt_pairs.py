"""Which pairs of a store a network has learnt from, as far as its weights say."""

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.held_out import hold_out
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.weights.metadata import Metadata


def mark_learnt(store: PairStore, split: Split, metadata: Metadata) -> NDArray[np.bool_]:
    """Mark the pairs of a split that a network says it learnt from: bool [N].

    Args:
        store: The split's store.
        split: The pairs.
        metadata: What the network says of itself.
    """
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
