"""The pairs that an export is verified and calibrated on: random, of a store, or of images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.split_names import HELD_OUT_SPLITS, TRAIN_SPLIT, find_split
from glamor_cli.data.store.format import STORE_FILE
from glamor_cli.errors import DataError, reason_of
from glamor_cli.files.kinds import is_file
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.interface import INPUT_NAMES


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs as the network takes them.

    Attributes:
        face: float32 [N, 3, 96, 96], RGB in [0, 1].
        context: float32 [N, 3, 112, 112], RGB in [0, 1].
        labels: int64 [N], or None where no labels are known.
    """

    face: NDArray[np.float32]
    context: NDArray[np.float32]
    labels: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """How many there are."""
        return len(self.face)

    def batches(self, size: int) -> "Iterator[Pairs]":
        """Cut into batches of ``size``, the last one smaller where it does not divide."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            labels = None if self.labels is None else self.labels[rows]
            yield Pairs(self.face[rows], self.context[rows], labels)

    def feeds(self) -> dict[str, NDArray[np.float32]]:
        """Name the arrays as a graph's inputs are called."""
        return dict(zip(INPUT_NAMES, (self.face, self.context), strict=True))

    def repeat_to(self, count: int) -> "Pairs":
        """Give exactly ``count`` pairs, going round as often as needed."""
        rows = np.arange(count) % len(self)
        return Pairs(self.face[rows], self.context[rows])


def random_pairs(count: int, seed: int = 0) -> Pairs:
    """Make pairs of noise of varied brightness; the last face is zero, as if none was found."""
    generator = np.random.default_rng(seed)

    def noise(size: int) -> NDArray[np.float32]:
        brightness = generator.random((count, 1, 1, 1), dtype=np.float32)
        return generator.random((count, 3, size, size), dtype=np.float32) * brightness

    face, context = noise(FACE_SIZE), noise(CONTEXT_SIZE)
    if count > 1:
        face[-1] = 0
    return Pairs(face, context)


def fill_contexts(pairs: Pairs) -> Pairs:
    """Give every other pair a generated context, if none has a real one.

    Data sets of face crops have no contexts, but their network may yet be shown a photograph: INT8
    ranges measured on black alone would make nonsense of it.
    """
    if pairs.context.any():
        return pairs
    import torch

    from glamor_cli.data.batches.draws import Draws
    from glamor_cli.data.batches.synthetic_contexts import synthetic_contexts

    context = pairs.context.copy()
    draws = Draws(torch.Generator().manual_seed(0))
    context[::2] = synthetic_contexts(len(context[::2]), draws).numpy()
    return Pairs(pairs.face, context, pairs.labels)


def load_pairs(
    source: Path,
    limit: int,
    classes: tuple[str, ...],
    *,
    calibration: bool = False,
    threads: int | None = None,
) -> Pairs:
    """Read pairs from a store, or detect faces in images and make pairs of them.

    Args:
        source: A pair store, an image, a folder of images, or a glob.
        limit: At most so many, spread evenly over a store's split; the first of images.
        classes: The network's; the labels of a store with others mean something else.
        calibration: Take a store's training split rather than its held-out one.
        threads: CPU threads of the detector; None takes every core.

    Raises:
        DataError: The source cannot be opened, the store is damaged, there are no images, none of
            them can be read, or there is no face in any.
        BackendUnavailable: Of images: a package that the detector needs is not installed.
    """
    try:
        is_store = is_file(source / STORE_FILE)
    except OSError as error:
        raise DataError(
            f"cannot open {source}: {reason_of(error)}", "Check its name and its permissions."
        ) from error
    if is_store:
        return _from_store(source, limit, classes, calibration=calibration)
    return _from_images(source, limit, threads)


def _from_store(path: Path, limit: int, classes: tuple[str, ...], *, calibration: bool) -> Pairs:
    from glamor_cli.data.store.pair_store import PairStore

    store = PairStore.open(path)
    wanted = (TRAIN_SPLIT,) if calibration else HELD_OUT_SPLITS
    split = store.split(find_split(wanted, store.splits) or store.splits[-1])
    split.require_pairs()
    rows = np.linspace(0, len(split) - 1, min(limit, len(split))).round().astype(np.intp)
    face, context = split.pairs(rows)
    return Pairs(face, context, split.labels[rows] if split.classes == classes else None)


def _from_images(source: Path, limit: int, threads: int | None) -> Pairs:
    from glamor_cli.vision.detectors import open_detector
    from glamor_cli.vision.image_files import list_images
    from glamor_cli.vision.images import read_image
    from glamor_cli.vision.pairs import make_pair, round_box

    detector = open_detector(threads=threads)
    found = []
    failure: DataError | None = None
    read = 0
    for path in list_images(source):
        try:
            image = read_image(path)
            faces = detector.detect(image)
            if len(faces.boxes):
                found.append(make_pair(image, round_box(faces.boxes[0])))
        except DataError as error:
            # One unreadable image among many is no reason to stop.
            failure = error
            continue
        read += 1
        if len(found) == limit:
            break
    if failure is not None and not read:
        raise failure
    if not found:
        raise DataError(f"no face was found in {source}", "Give images of people, or a pair store.")
    return Pairs(
        np.stack([pair.face for pair in found]), np.stack([pair.context for pair in found])
    )
