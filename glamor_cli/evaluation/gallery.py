"""Pairs worth looking at: the surest right and wrong answers, with the attention drawn in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.data.store.pair_store import Split
from glamor_cli.evaluation.evaluate import Evaluation
from glamor_cli.rendering.heat import overlay_attention
from glamor_cli.rendering.pages import embed_jpeg
from glamor_cli.vision.attention_map import note_of
from glamor_cli.vision.pairs import NO_FACE

CARDS = 24
"""Pairs in a gallery, at most."""
_CONTEXT_SHOWN = (342, 256)
"""Width and height of a context's picture: twice its pixels, for the attention's smooth edges."""


@dataclass(frozen=True)
class Card:
    """One pair as the report shows it.

    Attributes:
        source: The image's name in its data set.
        label: What it is.
        label_probability: Of the label.
        answer: What was answered.
        probability: Of the answer.
        second: The second choice.
        second_probability: Of the second choice.
        right: Whether the answer is the label.
        face_weight: The face's in the fusion; the context's is the rest of 1.
        found: Whether there is a face; without one the network sees zeros in its place.
        note: Why the attention points nowhere; empty where it is shown.
        face: The face as a ``data:`` address.
        context: The context, with the attention over it, as a ``data:`` address.
    """

    source: str
    label: str
    label_probability: float
    answer: str
    probability: float
    second: str
    second_probability: float
    right: bool
    face_weight: float
    found: bool
    note: str
    face: str
    context: str


def choose_surest(
    confidence: NDArray[np.floating],
    labels: NDArray[np.integer],
    chosen: NDArray[np.bool_],
    count: int = CARDS,
) -> NDArray[np.int64]:
    """Choose the surest pairs, in turn from each label, so that no frequent one takes all places.

    Args:
        confidence: [N].
        labels: [N].
        chosen: bool [N]: which pairs may be taken.
        count: How many are taken, at most.

    Returns:
        int64 [M], row numbers, surest first; among equals the earlier row.
    """
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(-confidence[rows], kind="stable")]
    turn = np.empty(len(rows), np.int64)
    seen: dict[int, int] = {}
    for position, label in enumerate(labels[rows]):
        turn[position] = seen[int(label)] = seen.get(int(label), -1) + 1
    taken = rows[np.argsort(turn, kind="stable")[:count]]
    return taken[np.argsort(-confidence[taken], kind="stable")].astype(np.int64)


def make_cards(evaluation: Evaluation, split: Split, rows: NDArray[np.int64]) -> list[Card]:
    """Draw pairs for a gallery.

    Args:
        evaluation: The answers.
        split: The split that was evaluated.
        rows: Which of the answers, int64 [M].
    """
    return [_make_card(evaluation, split, int(row)) for row in rows]


def _make_card(evaluation: Evaluation, split: Split, row: int) -> Card:
    classes, probabilities = evaluation.metrics.classes, evaluation.probabilities[row]
    order = np.argsort(-probabilities, kind="stable")
    best, second, label = int(order[0]), int(order[1]), int(evaluation.labels[row])
    attention = evaluation.attention[row]
    pair = int(evaluation.rows[row])
    context = Image.fromarray(np.asarray(split.contexts[pair]))
    large = np.asarray(context.resize(_CONTEXT_SHOWN, Image.Resampling.BICUBIC))
    return Card(
        source=split.sources[pair],
        label=classes[label],
        label_probability=float(probabilities[label]),
        answer=classes[best],
        probability=float(probabilities[best]),
        second=classes[second],
        second_probability=float(probabilities[second]),
        right=best == label,
        face_weight=float(evaluation.stream_weights[row, 0]),
        found=bool(split.boxes[pair].any()),
        note=note_of(attention),
        face=embed_jpeg(np.asarray(split.faces[pair])),
        context=embed_jpeg(overlay_attention(large, attention, NO_FACE)),
    )
