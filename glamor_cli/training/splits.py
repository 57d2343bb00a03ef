"""The splits of a run: which rows of a store it learns from, and which it is judged on."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.held_out import hold_out
from glamor_cli.data.split_names import TRAIN_SPLIT, VALIDATION_SPLITS, WHOLE_SPLIT, find_split
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.training.checkpoints import has_checkpoint
from glamor_cli.training.config import BEST, TrainConfig, read_judged_by
from glamor_cli.weights.metadata import LearntSplit
from glamor_cli.weights.network_file import read_metadata


def choose_rows(
    store: PairStore, config: TrainConfig
) -> tuple[NDArray[np.int64], Split, NDArray[np.int64]]:
    """Choose the training rows, the split to validate on, and its rows.

    Where a tenth of the training split is held out, pairs of one image stay together.

    Raises:
        ConfigError: A named split is not there, or training and validation would be the same.
        DataError: Too few pairs are left.
    """
    train_split = store.split(config.train_split)
    chosen = choose_validation_split(store, config)
    if chosen == config.train_split:
        raise ConfigError(
            f"the split {chosen!r} is the training split and cannot also be used for evaluation",
            "Choose another --validation-split or --train-split.",
        )
    train_split.require_pairs()
    rows = np.arange(len(train_split))
    if chosen is not None:
        validation = store.split(chosen)
        validation.require_pairs()
        validation_rows = np.arange(len(validation))
    else:
        # The test split is for the final figure alone, so a tenth of the training split it is.
        rows, validation_rows = hold_out(train_split.sources, config.seed)
        validation = train_split
    if len(rows) == 0:
        raise DataError(
            f"all pairs of {store.path} are of one image, so none can be held out",
            "Preprocess more labelled images, or choose a --validation-split.",
        )
    return rows, validation, validation_rows


def settle_train_split(config: TrainConfig) -> TrainConfig:
    """Let ``train`` mean the whole of a store whose data have no splits, or its ``Train``.

    Raises:
        DataError: The store cannot be used.
    """
    splits = PairStore.open(config.store).splits
    if config.train_split != TRAIN_SPLIT:
        return config
    meant = WHOLE_SPLIT if splits == (WHOLE_SPLIT,) else find_split((TRAIN_SPLIT,), splits)
    return config if meant is None else replace(config, train_split=meant)


def choose_validation_split(store: PairStore, config: TrainConfig) -> str | None:
    """Name the split that chooses the best epoch; None where a part of the training split does.

    A run in the folder keeps what it was begun with: other versions know other names of splits.
    """
    if config.validation_split is not None:
        return config.validation_split
    begun = _judged_before(config)
    if begun in store.splits:  # one of other pairs is refused later
        return None if begun == config.train_split else begun
    others = [name for name in store.splits if name != config.train_split]
    return find_split(VALIDATION_SPLITS, others)


def _judged_before(config: TrainConfig) -> str | None:
    """Name the split that judges the run in the folder; None if there is no run, or none told."""
    if not has_checkpoint(config.run):
        return None
    named = None
    with suppress(DataError):  # of damaged settings the run itself will tell
        named = read_judged_by(config.run)
    if named is None:
        # Of a run that an older version began, the weights tell whether a tenth was held out.
        with suppress(CheckpointError):
            own = read_metadata(config.run / BEST).learnt_from[:1]
            if any(one.held_out_seed is not None for one in own):
                return config.train_split
    return named


def describe_learnt(store: PairStore, config: TrainConfig) -> LearntSplit:
    """Name the pairs that a run learns from, as its weights will."""
    alone = choose_validation_split(store, config) is None
    return LearntSplit(
        split=config.train_split,
        sha256=store.info.source[config.train_split].sha256,
        pairs=len(store.split(config.train_split)),
        held_out_seed=config.seed if alone else None,
    )
