"""Several stores become one: parts that were preprocessed on different machines, for instance."""

import hashlib
import itertools
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from glamor_cli.data.store.format import SourceSummary, StoreInfo
from glamor_cli.data.store.index import IndexRow
from glamor_cli.data.store.pair_store import PROGRESS_ROWS, PairStore
from glamor_cli.data.store.shared_images import digest_name
from glamor_cli.data.store.writer import SplitWriter, StoreWriter
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.heif import HEIF_PACKAGE


def merge_stores(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
) -> PairStore:
    """Write the pairs of several finished stores into one.

    A split is made of the splits of its name, one after another in the order given. Stores of
    different splits of a data set merge to the very bytes that preprocessing it whole gives.
    Killed and called again, it goes on. Rows and indexes are compared with their checksums.

    Images of one name but other pixels are different images, and both are kept. Box files are
    named after images: where two of one name and class differ in their boxes, ``export_crops``
    refuses the result, because the one's file "holds another box".

    Args:
        paths: The stores, at least two; made alike but for their source.
        out: The new store's folder; one that was begun goes on.
        on_progress: Called now and then with how many images were written or skipped.

    Raises:
        ConfigError: Fewer than two stores, or they were made differently: the message names how;
            or ``out`` cannot be written, is one of them, or holds something else.
        DataError: A store is unfinished or damaged, or two have an image of the same name and
            pixels in one split.
    """
    folders, out = [Path(path) for path in paths], Path(out)
    if len(folders) < 2:
        raise ConfigError(
            "merging needs at least two stores, and only one is given",
            "Give at least two stores to merge.",
        )
    # Not resolve(), which stumbles over a link that leads to itself.
    if os.path.realpath(out) in map(os.path.realpath, folders):
        raise ConfigError(f"{out} is one of the stores", "Choose a new folder for the result.")
    stores = [PairStore.open(folder) for folder in folders]
    info = _merged_info(stores)
    holders = {
        name: [store for store in stores if name in store.splits] for name in sorted(info.source)
    }
    for name, parts in holders.items():
        _refuse_duplicates(parts, name)
    with StoreWriter.open(out, info) as writer:
        if not writer.info.complete:
            counts, done = {}, 0
            for name, parts in holders.items():
                with writer.split(name) as split:
                    _fill(split, parts, name, on_progress, done)
                    counts[name] = split.counts
                done += counts[name].read
            writer.finish(counts)
    return PairStore.open(out)


def total_images(paths: Sequence[str | Path]) -> int:
    """Count the images that merging stores goes through.

    Raises:
        DataError: A store is unfinished or damaged.
    """
    stores = map(PairStore.open, paths)
    return sum(counts.read for store in stores for counts in store.info.counts.values())


def _merged_info(stores: list[PairStore]) -> StoreInfo:
    """Describe the store that several make, if they were made alike."""
    first = stores[0]
    # Only a store with HEIF pictures names what read them; one without any is made alike.
    readers = {
        name: version
        for store in stores
        for name, version in store.info.versions.items()
        if name == HEIF_PACKAGE
    }
    infos = [replace(store.info, versions=readers | store.info.versions) for store in stores]
    for store, info in zip(stores[1:], infos[1:], strict=True):
        # Sources differ by nature; any other difference would make a store of two kinds of pairs.
        differences = replace(info, source=infos[0].source).differences(infos[0])
        if differences:
            raise ConfigError(
                f"{store.path} was made differently from {first.path}: {'; '.join(differences)}",
                "Merge stores that were preprocessed with the same settings and versions.",
            )
    parts: dict[str, list[SourceSummary]] = {}
    for store in stores:
        for name, part in store.info.source.items():
            parts.setdefault(name, []).append(part)
    source = {name: _merged_source(parts[name]) for name in sorted(parts)}
    return replace(infos[0], source=source, complete=False, counts={}, index_sha256={})


def _merged_source(parts: list[SourceSummary]) -> SourceSummary:
    if len(parts) == 1:
        return parts[0]
    digest = hashlib.sha256("\n".join(part.sha256 for part in parts).encode())
    return SourceSummary(sum(part.images for part in parts), digest.hexdigest())


def _entries(stores: list[PairStore], name: str) -> Iterator[tuple[PairStore, IndexRow]]:
    return ((store, entry) for store in stores for entry in store.entries(name))


def _refuse_duplicates(stores: list[PairStore], name: str) -> None:
    """Find an image that two stores have, with 8 bytes of memory for each image.

    Names alone do not tell: two data sets may both number their images from 1.
    """
    if len(stores) < 2:
        return
    seen = array("Q")
    for _, entry in _entries(stores, name):
        seen.append(digest_name(entry.source))
    digests, counts = np.unique(np.frombuffer(seen, np.uint64), return_counts=True)
    doubtful = set(digests[counts > 1].tolist())
    if not doubtful:
        return
    # A manifest may name an image twice; only what two stores have is a mistake.
    owners: dict[tuple[str, int], PairStore] = {}
    for store in stores:
        for entry, crc32 in store.pictures(name):
            if digest_name(entry.source) in doubtful:
                other = owners.setdefault((entry.source, crc32), store)
                if other is not store:
                    raise DataError(
                        f"{other.path} and {store.path} both have {entry.source} in {name}",
                        "Merge stores of different images; each image in both would count twice.",
                    )


def _fill(
    split: SplitWriter,
    stores: list[PairStore],
    name: str,
    on_progress: Callable[[int], None],
    done: int,
) -> None:
    """Append what is left of a split."""
    for store in stores:
        store.check_index(name)
    arrays = {store.path: store.arrays(name) for store in stores}
    for store, entry in itertools.islice(_entries(stores, name), split.counts.read, None):
        split.add(entry, store.read_row(name, entry, arrays[store.path]))
        if split.counts.read % PROGRESS_ROWS == 0:
            on_progress(done + split.counts.read)
    split.finish()
