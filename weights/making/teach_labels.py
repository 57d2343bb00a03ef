"""Mix the answers of trained weights into a data set's soft labels.

    uv run python weights/making/teach_labels.py STORE MANIFEST.csv TAUGHT.csv TEACHER [TEACHER ...]

STORE holds the pairs of MANIFEST.csv, whose class columns are soft labels. A teacher is weights,
by their name or file, or a folder of ``train_teacher.py``; each answers to every pair of the
training split and to its mirror image, and ``--share`` of each soft label becomes the mean of these
answers, in which a teacher counts by its ``--parts``. TAUGHT.csv belongs beside MANIFEST.csv, so
that the paths hold; ``glamor preprocess TAUGHT.csv`` makes a store of it. This is distillation
(Hinton et al. 2015, arXiv 1503.02531) with answers given once, which costs a training no time: for
networks that cannot have many epochs. The validation split keeps its labels.
"""

import argparse
import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from train_teacher import TEACHER

from glamor_cli.data.batches.augment import to_float
from glamor_cli.data.split_names import TRAIN_SPLIT
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.files.atomic import write_text
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.runtimes.options import PAIRS_AT_ONCE, Provider
from glamor_cli.training.find_teacher import find_teacher
from glamor_cli.training.teacher import Teacher

DIGITS = 6


def main() -> None:
    """Ask, mix, and write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("taught", type=Path)
    parser.add_argument("teachers", nargs="+")
    parser.add_argument("--share", type=float, default=0.5, help="of the answers in a soft label")
    parser.add_argument("--parts", type=_numbers, help="of the teachers, as 2,1; equal ones else")
    parser.add_argument("--provider", type=Provider, help="what runs weights in ONNX files")
    asked = parser.parse_args()

    if asked.parts is not None and len(asked.parts) != len(asked.teachers):
        parser.error("--parts needs a number for each teacher")
    split = PairStore.open(asked.store).split(TRAIN_SPLIT)
    if split.targets is None:
        parser.error(f"{asked.store} has no soft labels")
    # All are opened first: one that does not fit is told before the others have answered.
    teachers = [open_teacher(name, split.classes, asked.provider) for name in asked.teachers]
    answers = [answer(split) for answer in teachers]
    mean = np.average(answers, axis=0, weights=asked.parts)
    mixed = split.targets + asked.share * (mean - split.targets)
    taught = dict(zip(split.sources, mixed, strict=True))
    with asked.manifest.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    for row in rows:
        # Images that could not be read have no answers, and keep the labels they have.
        parts = taught.get(row["path"]) if row["split"] == TRAIN_SPLIT else None
        if parts is not None:
            row.update(
                (name, f"{part:.{DIGITS}f}")
                for name, part in zip(split.classes, parts, strict=True)
            )
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(asked.taught, text.getvalue())


def _numbers(words: str) -> list[float]:
    return [float(word) for word in words.split(",")]


def open_teacher(
    name: str, classes: tuple[str, ...], provider: Provider | None
) -> Callable[[Split], NDArray[np.float32]]:
    """Open a teacher, which answers to all pairs of a split with probabilities (N, classes).

    Each is the mean of those for the pair and for its mirror image.

    Args:
        name: Of weights, or a folder of ``train_teacher.py``.
        classes: Emotions in the order of the split's.
        provider: What runs weights in ONNX files; None takes ONNX Runtime.
    """
    file = Path(name) / TEACHER
    if file.exists():
        device = torch.device("cpu")
        found = find_teacher(file, classes, with_contexts=False, device=device, threads=None)
        return partial(_ask_about_faces, found)
    runtime = open_runtime(name, provider=provider)
    if runtime.metadata.classes != classes:
        raise SystemExit(f"{name} and the store have other emotions, or another order of them")
    return lambda split: evaluate(MirroredRuntime(runtime), split).probabilities


def _ask_about_faces(teacher: Teacher, split: Split) -> NDArray[np.float32]:
    answers = []
    for start in track(range(0, len(split), PAIRS_AT_ONCE), "the teacher answers"):
        faces = to_float(torch.from_numpy(np.array(split.faces[start : start + PAIRS_AT_ONCE])))
        both = teacher.answer(torch.cat((faces, faces.flip(3))), faces)
        answers.append(both.reshape(2, len(faces), -1).mean(0).numpy())
    return np.concatenate(answers)


if __name__ == "__main__":
    main()
