"""Run a network over a split of a pair store and judge its answers."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import DataError
from glamor_cli.evaluation.evaluated import EvaluatedWeights, UsedEngine
from glamor_cli.evaluation.judged_pairs import JudgedPairs, open_pairs
from glamor_cli.evaluation.metrics import Metrics, compute_metrics
from glamor_cli.evaluation.split_config import SplitConfig
from glamor_cli.files.atomic import write_text
from glamor_cli.files.csv_line import csv_line
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.mirrored import MirroredRuntime
from glamor_cli.runtimes.options import PAIRS_AT_ONCE
from glamor_cli.settings import require_positive
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights


@dataclass(frozen=True)
class EvaluateConfig(SplitConfig):
    """What to evaluate, and how, in addition to ``SplitConfig``.

    Attributes:
        weights: A name from ``weights/`` or a file.
        flip: Also ask about each pair's mirror image, and average the answers.

    Raises:
        ConfigError: As ``SplitConfig``.
    """

    weights: str | Path = DEFAULT_WEIGHTS
    _: KW_ONLY
    flip: bool = False


class Answered:
    """What follows from probabilities, float [N, C], and labels, int64 [N]."""

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def answers(self) -> NDArray[np.int64]:
        """The most probable classes: int64 [N]."""
        answers: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return answers

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which answers are right: bool [N]."""
        right: NDArray[np.bool_] = self.answers == self.labels
        return right


@dataclass(frozen=True, eq=False)
class Answers(Answered):
    """A network's answers on a split, one row per pair.

    Attributes:
        probabilities: float32 [N, C].
        attention: float32 [N, h, w].
        stream_weights: float32 [N, 2]: face, context.
        labels: int64 [N], in the order of the network's classes.
        sources: Names of the images in their data set.
        rows: int64 [N], which of the split's pairs they are.
    """

    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]
    stream_weights: NDArray[np.float32]
    labels: NDArray[np.int64]
    sources: tuple[str, ...]
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluation(Answers):
    """Answers, and what they are worth.

    Attributes:
        metrics: The figures.
    """

    metrics: Metrics


@dataclass(frozen=True, eq=False)
class StoreEvaluation:
    """An evaluation with what was evaluated.

    Attributes:
        evaluation: The answers and figures.
        weights: What was evaluated.
        engine: What ran it.
        metadata: What the weights say of themselves.
        config: What was asked for.
        pairs: Which pairs judged, and whether the network learnt from them.
    """

    evaluation: Evaluation
    weights: EvaluatedWeights
    engine: UsedEngine
    metadata: Metadata
    config: EvaluateConfig
    pairs: JudgedPairs

    @property
    def store(self) -> Path:
        """The pair store's folder."""
        return self.config.store

    @property
    def split(self) -> str:
        """Which of its splits was evaluated."""
        return self.pairs.split

    @property
    def notes(self) -> list[str]:
        """What the figures flatter, a sentence each."""
        return self.pairs.notes([self.weights.name])

    def to_dict(self) -> dict[str, Any]:
        """Give the contract of ``glamor evaluate --json``.

        ``per_class`` has null for precision, recall and F1 of a class without pairs. In
        ``macro_f1`` such a class counts as 0 if it was answered, and is left out if not.
        ``learnt_pairs`` counts the judged pairs that the network learnt from; null where its file
        does not say. ``held_out``: only what was held out of its training was judged.
        ``chose_epoch``: the split, or its held-out part, chose the network's epoch; null likewise.
        """
        metrics = self.evaluation.metrics
        return {
            "accuracy": metrics.accuracy,
            "macro_f1": metrics.macro_f1,
            "count": metrics.count,
            "calibration_error": metrics.calibration_error,
            "negative_log_likelihood": metrics.negative_log_likelihood,
            "classes": list(metrics.classes),
            "per_class": {
                name: figures.to_dict()
                for name, figures in zip(metrics.classes, metrics.per_class, strict=True)
            },
            "confusion": metrics.confusion.tolist(),
            "store": str(self.store),
            "split": self.split,
            "weights": self.weights.to_dict(),
            "runtime": self.engine.to_dict(),
            "flip": self.config.flip,
            "learnt_pairs": self.pairs.learnt[0],
            "held_out": self.pairs.held_out,
            "chose_epoch": self.pairs.chose_epoch[0],
        }


def evaluate_store(
    config: EvaluateConfig, on_progress: Callable[[int, int], None] = lambda *_: None
) -> StoreEvaluation:
    """Open a store and weights, and evaluate.

    Args:
        config: What and how.
        on_progress: Called with the pairs done and all pairs.

    Raises:
        ConfigError: No such split, weights or device, or no telling which split is meant.
        DataError: The store is damaged, empty, or has classes that the network does not know.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device is not here, or the engine fails on a batch.
    """
    store = PairStore.open(config.store)
    path = find_weights(config.weights, suffix=".onnx")
    runtime = open_runtime(
        path, device=config.device, threads=config.threads, provider=config.provider
    )
    weights = EvaluatedWeights.of(runtime, path)
    split, pairs = open_pairs(store, config.split, [runtime.metadata])
    asked = MirroredRuntime(runtime) if config.flip else runtime
    evaluation = evaluate(asked, split, config.batch, on_progress, rows=pairs.rows)
    return StoreEvaluation(
        evaluation=evaluation,
        weights=weights,
        engine=UsedEngine.of(runtime),
        metadata=runtime.metadata,
        config=config,
        pairs=pairs,
    )


def evaluate(
    runtime: Runtime,
    split: Split,
    batch_size: int = PAIRS_AT_ONCE,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    *,
    rows: NDArray[np.int64] | None = None,
) -> Evaluation:
    """Run a network over a split and judge its answers; see ``answer_split``."""
    found = answer_split(runtime, split, batch_size, on_progress, rows=rows)
    metrics = compute_metrics(found.probabilities, found.labels, runtime.metadata.classes)
    return Evaluation(**vars(found), metrics=metrics)


def answer_split(
    runtime: Runtime,
    split: Split,
    batch_size: int = PAIRS_AT_ONCE,
    on_progress: Callable[[int, int], None] = lambda *_: None,
    *,
    rows: NDArray[np.int64] | None = None,
) -> Answers:
    """Run a network over a split.

    Args:
        runtime: The network.
        split: The pairs.
        batch_size: Pairs per step.
        on_progress: Called with the pairs done and all pairs, after each step.
        rows: Which of its pairs, int64 [N]; None for all.

    Raises:
        ConfigError: A batch of less than one pair.
        DataError: The split is empty or has classes that the network does not know.
        CheckpointError: The network answers with values that are not finite.
        BackendUnavailable: The engine fails on a batch, for example for lack of memory.
    """
    require_positive(batch_size, "the batch size", "--batch")
    split.require_pairs()
    classes = runtime.metadata.classes
    rows = np.arange(len(split)) if rows is None else rows
    labels = _translate_labels(split, classes)[rows]
    size, count = runtime.metadata.network.attention_size, len(rows)
    probabilities = np.empty((count, len(classes)), np.float32)
    attention = np.empty((count, size, size), np.float32)
    stream_weights = np.empty((count, 2), np.float32)
    for start in range(0, count, batch_size):
        part = slice(start, min(start + batch_size, count))
        output = runtime(*split.pairs(rows[part]))
        probabilities[part] = output.probabilities
        attention[part] = output.attention
        stream_weights[part] = output.stream_weights
        on_progress(part.stop, count)
    return Answers(
        probabilities,
        attention,
        stream_weights,
        labels,
        tuple(split.sources[row] for row in rows),
        rows,
    )


def write_predictions(path: Path, evaluation: Evaluation) -> None:
    """Write one line per pair as CSV: what it is, what was answered, how surely, and its row.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    classes = evaluation.metrics.classes
    streams = ("face_weight", "context_weight")
    lines = [csv_line(("source", "label", "emotion", "probability", *streams, *classes, "row"))]
    for row, (source, label) in enumerate(zip(evaluation.sources, evaluation.labels, strict=True)):
        probabilities = evaluation.probabilities[row]
        best = int(probabilities.argmax())
        numbers = (probabilities[best], *evaluation.stream_weights[row], *probabilities)
        shown = (f"{value:.6f}" for value in numbers)
        # Faces of one image share its name, which does not tell them apart.
        pair = evaluation.rows[row]
        lines.append(csv_line((source, classes[label], classes[best], *shown, pair)))
    write_text(path, "".join(lines))


def _translate_labels(split: Split, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Number the split's labels by the network's classes, which may stand in another order."""
    if split.classes == classes:
        return split.labels
    used = {split.classes[label] for label in np.unique(split.labels)}
    unknown = sorted(used - set(classes))
    if unknown:
        raise DataError(
            f"the split {split.name} has classes that the network does not know: "
            f"{', '.join(unknown)}",
            f"Evaluate weights trained on these classes; the network knows {', '.join(classes)}.",
        )
    positions = [classes.index(name) if name in classes else -1 for name in split.classes]
    return np.array(positions, np.int64)[split.labels]
