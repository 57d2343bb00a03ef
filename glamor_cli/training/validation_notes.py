"""Why a training's validation figures may flatter it, known before its first step."""

from collections.abc import Iterator

import numpy as np

from glamor_cli.data.learnt_pairs import mark_learnt
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.data.store.shared_images import count_copies
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.splits import choose_rows, choose_validation_split, settle_train_split
from glamor_cli.weights.network_file import read_metadata


def validation_notes(config: TrainConfig, store: PairStore) -> Iterator[str]:
    """Say which validation pairs are known already, a sentence each; none where none are.

    What chooses the best epoch is then partly what a network knows by heart. Other splits that have
    images of the training split are ``note_shared``'s.

    Args:
        config: What is to be trained.
        store: Its store.

    Raises:
        ConfigError: A named split is not there, or training and validation would be the same.
        DataError: The store cannot be used.
        CheckpointError: The initial weights or the teacher's are damaged.
    """
    config = settle_train_split(config)
    _, validation, rows = choose_rows(store, config)
    given = (config.initial_weights, config.teacher)
    # Of other networks nobody knows what they learnt from.
    networks = [path for path in given if path is not None and path.suffix == ".safetensors"]
    for path in dict.fromkeys(networks):
        learnt = int(np.count_nonzero(mark_learnt(store, validation, read_metadata(path))[rows]))
        if learnt:
            yield (
                f"{path} learnt from {learnt} of the {len(rows)} validation pairs: "
                "validation accuracy will be too high"
            )
    if choose_validation_split(store, config) is None:
        copies = count_copies(store, config.train_split, rows)
        if copies:
            are = "is" if copies == 1 else "are"
            yield (
                f"{copies} of the {len(rows)} held-out pairs {are} also in the training pairs "
                "under another name: validation accuracy will be too high"
            )
