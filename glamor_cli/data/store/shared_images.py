"""Images of ``train`` that other splits have too: figures on those flatter what learnt from it."""

import hashlib
import zlib
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.counts import count
from glamor_cli.data.split_names import TRAIN_SPLIT, find_split
from glamor_cli.data.store.format import CONTEXTS, FACES, HEADER_BYTES, ArrayFormat
from glamor_cli.data.store.index import IndexRow
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import DataError, reason_of

_NAME_BYTES = 8


def digest_name(source: str) -> int:
    """Stand for an image's name where millions are kept in memory: 64 bits."""
    raw = hashlib.blake2b(source.encode("utf-8", "surrogateescape"), digest_size=_NAME_BYTES)
    return int.from_bytes(raw.digest(), "little")


def note_shared(
    store: PairStore, train: str = TRAIN_SPLIT, *, same_names: bool = False
) -> list[str]:
    """Say how many images of other splits are also in the one to learn from, a sentence a split.

    Args:
        store: The pair store.
        train: The split to learn from, in any capitals; the store need not have it.
        same_names: Whether images of one name are the same image, as in a data set, also with
            another box or soft label. In stores that were merged, they need not be.

    Raises:
        DataError: The store is damaged.
    """
    train = find_split((train,), store.splits) or train
    notes = []
    for name, shared in count_shared(store, train, same_names=same_names).items():
        are = "is" if shared == 1 else "are"
        notes.append(
            f"{count(shared, 'image')} of {name} {are} also in {train}: figures on {name} will be "
            "too high"
        )
    return notes


def count_shared(
    store: PairStore, train: str = TRAIN_SPLIT, *, same_names: bool = False
) -> dict[str, int]:
    """Count the images of each other split that are also in ``train``; see ``note_shared``.

    Images are the same where the checksums of their pixels are, whatever they are called and
    labelled.

    Returns:
        By split, without those that share none.
    """
    others = [name for name in store.splits if name != train]
    if train not in store.splits or not others:
        return {}
    learnt, shared = _keys(store, train, same_names=same_names), {}
    for name in others:
        common = np.intersect1d(learnt, _keys(store, name, same_names=same_names))
        doubtful = set(common.tolist())
        if doubtful:
            known = {mark for _, mark in _marks(store, train, doubtful, same_names=same_names)}
            images = {
                entry.source
                for entry, mark in _marks(store, name, doubtful, same_names=same_names)
                if mark in known
            }
            if images:
                shared[name] = len(images)
    return shared


def count_copies(store: PairStore, name: str, held_out: NDArray[np.int64]) -> int:
    """Count the held-out pairs of a split whose pixels another of its pairs has, under any name.

    Args:
        store: The pair store.
        name: The split.
        held_out: Rows of it; the others are learnt from.

    Raises:
        DataError: The store is damaged.
    """
    apart = set(held_out.tolist())
    held, learnt = array("Q"), array("Q")
    for entry, crc32 in store.pictures(name):
        (held if entry.row in apart else learnt).append(crc32)
    doubtful = set(np.intersect1d(np.array(held), np.array(learnt)).tolist())
    if not doubtful:
        return 0
    marks = list(_marks(store, name, doubtful, same_names=False))
    known = {mark for entry, mark in marks if entry.row not in apart}
    return sum(entry.row in apart and mark in known for entry, mark in marks)


def _keys(store: PairStore, name: str, *, same_names: bool) -> NDArray[np.uint64]:
    """Checksums of a split's pixels, and its names where they count: 8 bytes of memory for each."""
    keys = array("Q")
    for entry, crc32 in store.pictures(name):
        keys.append(crc32)
        if same_names:
            keys.append(digest_name(entry.source))
    return np.array(keys, np.uint64)


def _marks(
    store: PairStore, name: str, doubtful: set[int], *, same_names: bool
) -> Iterator[tuple[IndexRow, Any]]:
    """Give each row whose key is doubtful with what makes sure.

    Among millions, 32 bits agree by chance: the middle lines of the pictures must agree as well.
    More would hardly be surer. Lines are read one by one, for with memory maps the system reads
    far ahead, and so all there is.
    """
    folder, arrays = store.path / name, (FACES, CONTEXTS)
    try:
        with ExitStack() as opened:
            files = [
                opened.enter_context((folder / array.file).open("rb", buffering=0))
                for array in arrays
            ]
            for entry, crc32 in store.pictures(name):
                if crc32 in doubtful and entry.row is not None:
                    lines = map(_middle_line, files, arrays, repeat(entry.row))
                    yield entry, (crc32, *lines)
                if same_names and digest_name(entry.source) in doubtful:
                    yield entry, entry.source
    except OSError as error:
        raise DataError(
            f"cannot read the pixels in {folder}: {reason_of(error)}",
            "Preprocess the data set into a new folder.",
        ) from error


def _middle_line(file: FileIO, array: ArrayFormat, row: int) -> int:
    """Checksum the middle line of a picture."""
    height = array.row_shape[0]
    line_bytes = array.row_bytes // height
    file.seek(HEADER_BYTES + row * array.row_bytes + height // 2 * line_bytes)
    return zlib.crc32(file.read(line_bytes) or b"")
