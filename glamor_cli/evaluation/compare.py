"""Several networks on the same pairs: is a difference more than luck, and what does it cost?

Differences are judged by `significance`; times are measured in turns by `system/timing.py`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.bootstrap import (
    LEVEL,
    RESAMPLES,
    Interval,
    resample_f1,
)
from glamor_cli.evaluation.evaluate import Evaluation, evaluate
from glamor_cli.evaluation.evaluated import EvaluatedWeights, UsedEngine
from glamor_cli.evaluation.intervals import headline_intervals
from glamor_cli.evaluation.judged_pairs import JudgedPairs, open_pairs
from glamor_cli.evaluation.metrics import (
    Metrics,
    compute_metrics,
    losses_of_pairs,
    mean_of_shared,
    share_macro_f1,
)
from glamor_cli.evaluation.significance import Pairing, pair_up
from glamor_cli.evaluation.split_config import SplitConfig
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.settings import settle_lone
from glamor_cli.system.timing import time_interleaved
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.registry import find_weights

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LATENCY_SECONDS = 1.0
_LATENCY_RUNS = 10


@dataclass(frozen=True)
class CompareConfig(SplitConfig):
    """What to compare, and how, in addition to ``SplitConfig``.

    Attributes:
        weights: Names from ``weights/`` or files, two or more; all others are set against the
            first.
        latency: Measure how long each takes, too.

    Raises:
        ConfigError: Fewer than two, one twice, or too many; and as ``SplitConfig``.
    """

    weights: tuple[str | Path, ...]
    _: KW_ONLY
    latency: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_lone(self, "weights")
        names = [str(name) for name in self.weights]
        if len(names) < 2:
            raise ConfigError(
                f"a comparison needs at least two networks, not {len(names)}",
                "Give two or more weights.",
            )
        if len(names) > len(_LETTERS):
            raise ConfigError(
                f"a comparison takes at most {len(_LETTERS)} networks, not {len(names)}",
                "Give fewer weights.",
            )
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"{name} is given twice", "Give different weights.")


@dataclass(frozen=True)
class Latency:
    """How long one network takes, measured in turns with the others.

    Attributes:
        p50_ms: Median of single pairs, in milliseconds, NumPy in and out.
        p90_ms: Nine tenths of them are faster.
        batch: Pairs at a time for ``pairs_per_second``.
        pairs_per_second: By the median of whole batches.
    """

    p50_ms: float
    p90_ms: float
    batch: int
    pairs_per_second: float


@dataclass(frozen=True, eq=False)
class Contender:
    """One network and what its answers are worth.

    Attributes:
        letter: A, B, C, ... in the order they were given.
        name: What was given, without what all names share.
        weights: What answered.
        engine: What ran it.
        metadata: What the weights say of themselves.
        metrics: Its figures.
        intervals: Of ``accuracy``, ``macro_f1`` and ``negative_log_likelihood``.
        latency: None where it was not asked for.
    """

    letter: str
    name: str
    weights: EvaluatedWeights
    engine: UsedEngine
    metadata: Metadata
    metrics: Metrics
    intervals: dict[str, Interval | None]
    latency: Latency | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several networks on one split; K networks, N pairs, C classes.

    Attributes:
        config: What was asked for.
        split: The split.
        classes: Names of the emotions that any of the networks knows.
        labels: int64 [N].
        sources: Names of the images in their data set.
        probabilities: float32 [K, N, C].
        contenders: The networks, K.
        pairings: Each two of them.
        pairs: Which pairs judged, and which networks learnt from them.
    """

    config: CompareConfig
    split: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    sources: tuple[str, ...]
    probabilities: NDArray[np.float32]
    contenders: tuple[Contender, ...]
    pairings: tuple[Pairing, ...]
    pairs: JudgedPairs

    @property
    def notes(self) -> list[str]:
        """Which networks the figures flatter, a sentence each."""
        return self.pairs.notes([f"{one.letter}, {one.name}," for one in self.contenders])

    @property
    def answers(self) -> NDArray[np.int64]:
        """int64 [K, N], the answers."""
        answers: NDArray[np.int64] = self.probabilities.argmax(axis=2)
        return answers

    @property
    def disagreements(self) -> NDArray[np.int64]:
        """int64 [M], the rows that not all networks answer alike."""
        answers = self.answers
        return np.flatnonzero((answers != answers[0]).any(axis=0))

    @property
    def disagreements_by_class(self) -> NDArray[np.int64]:
        """int64 [C], how many of these rows are of each class."""
        return np.bincount(self.labels[self.disagreements], minlength=len(self.classes))

    def to_dict(self) -> dict[str, Any]:
        """Give what ``glamor compare --json`` writes."""
        by_class = self.disagreements_by_class.tolist()
        return {
            "store": str(self.config.store),
            "split": self.split,
            "count": len(self.labels),
            "classes": list(self.classes),
            "level": LEVEL,
            "resamples": RESAMPLES,
            "held_out": self.pairs.held_out,
            "networks": [
                _contender_dict(contender) | {"learnt_pairs": learnt, "chose_epoch": chose}
                for contender, learnt, chose in zip(
                    self.contenders, self.pairs.learnt, self.pairs.chose_epoch, strict=True
                )
            ],
            "pairings": [asdict(pairing) | {"better": pairing.better} for pairing in self.pairings],
            "disagreements": {
                "count": len(self.disagreements),
                "per_class": dict(zip(self.classes, by_class, strict=True)),
            },
        }


def compare_store(
    config: CompareConfig, on_progress: Callable[[str, int, int], None] = lambda *_: None
) -> Comparison:
    """Evaluate several networks on one split of a pair store, and set them against each other.

    Args:
        config: What and how.
        on_progress: Called with a network's name, the pairs done and all pairs.

    Raises:
        ConfigError: No such split, weights or device, or no telling which split is meant.
        DataError: The store is damaged, empty, or has classes that a network does not know.
        CheckpointError: Weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: A device is not here, or an engine fails on a batch.
    """
    store = PairStore.open(config.store)
    files = [find_weights(name, suffix=".onnx") for name in config.weights]
    names = shorten_names([str(name) for name in config.weights])
    runtimes = _open_all(files, config)
    weights = list(map(EvaluatedWeights.of, runtimes, files))
    networks = [runtime.metadata for runtime in runtimes]
    split, pairs = open_pairs(store, config.split, networks)
    evaluations = [
        evaluate(
            runtime,
            split,
            config.batch,
            lambda done, total, name=name: on_progress(name, done, total),  # type: ignore[misc]
            rows=pairs.rows,
        )
        for runtime, name in zip(runtimes, names, strict=True)
    ]
    classes, labels, probabilities = _common_classes(evaluations)
    resampled = mean_of_shared(np.stack([resample_f1(values, labels) for values in probabilities]))
    metrics = share_macro_f1([compute_metrics(values, labels, classes) for values in probabilities])
    latencies = _measure_latencies(runtimes, split, config)
    contenders = tuple(
        Contender(
            letter=_LETTERS[index],
            name=names[index],
            weights=weights[index],
            engine=UsedEngine.of(runtime),
            metadata=runtime.metadata,
            metrics=metrics[index],
            intervals=headline_intervals(
                metrics[index], losses_of_pairs(probabilities[index], labels)
            ),
            latency=latencies[index],
        )
        for index, runtime in enumerate(runtimes)
    )
    return Comparison(
        config=config,
        split=split.name,
        classes=classes,
        labels=labels,
        sources=evaluations[0].sources,
        probabilities=probabilities,
        contenders=contenders,
        pairings=pair_up(
            [contender.letter for contender in contenders],
            probabilities.argmax(axis=2),
            labels,
            [contender.metrics for contender in contenders],
            resampled,
        ),
        pairs=pairs,
    )


def _open_all(files: Sequence[Path], config: CompareConfig) -> list[Runtime]:
    """Open every file; only ONNX files can be run by a provider."""
    if config.provider is not None and all(file.suffix != ".onnx" for file in files):
        raise ConfigError(
            "providers run only ONNX files, and there are none among these",
            "Give .onnx files, or leave --provider out.",
        )
    return [
        open_runtime(
            file,
            device=config.device,
            threads=config.threads,
            provider=config.provider if file.suffix == ".onnx" else None,
        )
        for file in files
    ]


def shorten_names(names: Sequence[str]) -> list[str]:
    """Leave out the folders that all paths share; names that are no paths stay as they are."""
    folders = [os.path.dirname(name) for name in names]  # noqa: PTH120 - "" must stay ""
    if not all(folders) or len({Path(folder).is_absolute() for folder in folders}) > 1:
        return list(names)
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # Windows' drives share nothing.
        return list(names)
    return [os.path.relpath(name, shared) if shared else name for name in names]


def _common_classes(
    evaluations: Sequence[Evaluation],
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float32]]:
    """Bring networks whose classes differ in order or number to the same ones."""
    classes = tuple(dict.fromkeys(name for one in evaluations for name in one.metrics.classes))
    probabilities = np.zeros((len(evaluations), len(evaluations[0].labels), len(classes)))
    for values, one in zip(probabilities, evaluations, strict=True):
        values[:, [classes.index(name) for name in one.metrics.classes]] = one.probabilities
    own = [classes.index(name) for name in evaluations[0].metrics.classes]
    return classes, np.array(own)[evaluations[0].labels], probabilities.astype(np.float32)


def _measure_latencies(
    runtimes: Sequence[Runtime], split: Split, config: CompareConfig
) -> list[Latency | None]:
    """Time single pairs and batches, all networks in turns."""
    if not config.latency:
        return [None] * len(runtimes)
    batch = min(config.batch, len(split))
    faces, contexts = split.pairs(slice(0, batch))
    singles, batches = (
        _time(
            [
                lambda runtime=runtime, size=size: runtime(faces[:size], contexts[:size])  # type: ignore[misc]
                for runtime in runtimes
            ]
        )
        for size in (1, batch)
    )
    return [
        Latency(
            p50_ms=float(np.median(single)) * 1e3,
            p90_ms=float(np.quantile(single, 0.9)) * 1e3,
            batch=batch,
            pairs_per_second=batch / float(np.median(whole)),
        )
        for single, whole in zip(singles, batches, strict=True)
    ]


def _time(calls: Sequence[Callable[[], object]]) -> list[NDArray[np.float64]]:
    times = time_interleaved(
        calls, seconds=_LATENCY_SECONDS, iterations=_LATENCY_RUNS, warmup_seconds=0.2
    )
    for found in times:
        if isinstance(found, Exception):
            raise found
    return [found for found in times if not isinstance(found, Exception)]


def _contender_dict(contender: Contender) -> dict[str, Any]:
    metrics = contender.metrics
    return {
        "letter": contender.letter,
        "name": contender.name,
        "file": str(contender.weights.file),
        "sha256": contender.weights.sha256,
        "runtime": contender.engine.to_dict(),
        "network": asdict(contender.metadata.network),
        "accuracy": metrics.accuracy,
        "macro_f1": metrics.macro_f1,
        "calibration_error": metrics.calibration_error,
        "negative_log_likelihood": metrics.negative_log_likelihood,
        "intervals": {
            name: None if found is None else asdict(found)
            for name, found in contender.intervals.items()
        },
        "recall": {
            name: figures.recall if figures.support else None
            for name, figures in zip(metrics.classes, metrics.per_class, strict=True)
        },
        "latency": None if contender.latency is None else asdict(contender.latency),
    }
