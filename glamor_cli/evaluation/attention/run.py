"""Attention measured on a store: where it lies, what depends on it, and what Grad-CAM says."""

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.data.scenes.cues import Cue
from glamor_cli.data.store.pair_store import PairStore, Split
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.attention.cues import find_cues
from glamor_cli.evaluation.attention.hiding import (
    Costs,
    Curves,
    Draws,
    HidingConfig,
    Occluder,
    random_maps,
)
from glamor_cli.evaluation.attention.measure import AttentionMeasures, measure_attention
from glamor_cli.evaluation.attention.options import PAIRS, MapKind
from glamor_cli.evaluation.evaluate import Answered, Answers, answer_split
from glamor_cli.evaluation.evaluated import EvaluatedWeights, UsedEngine
from glamor_cli.evaluation.judged_pairs import JudgedPairs, open_pairs
from glamor_cli.evaluation.split_config import SplitConfig
from glamor_cli.network.config import Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.settings import require_positive, require_seed, settle_paths
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, KINDS, find_weights

_SHOWN = 8


@dataclass(frozen=True)
class AttentionConfig(SplitConfig):
    """What to measure, and how, in addition to ``SplitConfig``.

    Attributes:
        weights: A name from ``weights/`` or a file.
        scenes: The folder of generated scenes the store was made from; None for other data.
        grad_cam: Measure Grad-CAM too.
        pairs: How many pairs are drawn from the split.
        seed: Of the drawing, and of everything random.
        hiding: How the context is hidden.

    Raises:
        ConfigError: Less than one pair, a negative seed, Grad-CAM of a file that a provider runs;
            and as ``SplitConfig``.
    """

    weights: str | Path = DEFAULT_WEIGHTS
    _: KW_ONLY
    scenes: Path | None = None
    grad_cam: bool = False
    pairs: int = PAIRS
    seed: int = 0
    hiding: HidingConfig = field(default_factory=HidingConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_paths(self, "scenes")
        require_positive(self.pairs, "the number of pairs", "--pairs")
        require_seed(self.seed)
        if self.grad_cam and self.provider is not None:
            raise ConfigError(
                "Grad-CAM needs torch, and providers run ONNX files, which have no gradients",
                "Leave --gradcam or --provider out.",
            )


@dataclass(frozen=True, eq=False)
class MapMeasures:
    """What one kind of map is worth.

    Attributes:
        maps: float32 [N, h, w]; each sums to 1 or is all zero.
        costs: Of hiding the square that holds most of it.
        curves: Deletion and insertion in its order.
        place: Against the deciding cues; None where they are not known.
        place_right: The same for right answers alone; None without them too.
    """

    maps: NDArray[np.float32]
    costs: Costs
    curves: Curves
    place: AttentionMeasures | None
    place_right: AttentionMeasures | None

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Entropy over the cells, float64 [N]: 0 for a single cell, 1 for an even or empty map."""
        flat = self.maps.reshape(len(self.maps), -1).astype(np.float64)
        logs = np.log(flat, out=np.zeros_like(flat), where=flat > 0)
        entropies: NDArray[np.float64] = np.abs(flat * logs).sum(axis=1) / np.log(flat.shape[1])
        entropies[~flat.any(axis=1)] = 1
        return entropies


@dataclass(frozen=True, eq=False)
class ShownPair:
    """A pair to draw.

    Attributes:
        row: Its position among the measured pairs.
        face: float32 [3, 96, 96], RGB in [0, 1].
        context: float32 [3, 112, 112], RGB in [0, 1].
        found: Whether there is a face; without one the network sees zeros in its place.
        cue: Its scene, where it is one.
    """

    row: int
    face: NDArray[np.float32]
    context: NDArray[np.float32]
    found: bool
    cue: Cue | None


@dataclass(frozen=True, eq=False)
class AttentionReport(Answered):
    """All that was measured on a sample of a split.

    Attributes:
        config: What was asked for.
        split: The split's name.
        available: Pairs in it that were drawn from.
        weights: Whose attention it is.
        variant: The network's.
        engine: What ran it.
        classes: Names of the emotions.
        labels: int64 [N].
        probabilities: float32 [N, classes].
        stream_weights: float32 [N, 2]: face, context.
        sources: Names of the images.
        methods: Measures by kind of map; of Grad-CAM where it was asked for.
        random_costs: Of hiding squares of the same size anywhere.
        random_curves: Deletion and insertion in the order of maps that know nothing.
        shown: A pair of each class, in the classes' order.
        pairs: Which pairs they are, and whether the network learnt from them.
    """

    config: AttentionConfig
    split: str
    available: int
    weights: EvaluatedWeights
    variant: Variant
    engine: UsedEngine
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    stream_weights: NDArray[np.float32]
    sources: tuple[str, ...]
    methods: dict[MapKind, MapMeasures]
    random_costs: Costs
    random_curves: Curves
    shown: tuple[ShownPair, ...]
    pairs: JudgedPairs

    @property
    def notes(self) -> list[str]:
        """What the figures flatter, a sentence each."""
        return self.pairs.notes([self.weights.name])


def measure_store(
    config: AttentionConfig, on_progress: Callable[[int, int], None] = lambda *_: None
) -> AttentionReport:
    """Draw pairs from a store and measure a network's attention on them.

    Args:
        config: What and how.
        on_progress: Called with the pairs done and all pairs.

    Raises:
        ConfigError: No such split, weights or device; the network has no attention, or Grad-CAM is
            asked of a file without gradients.
        DataError: The store is damaged, empty, not of these scenes, or has unknown classes.
        CheckpointError: The weights are damaged or foreign, or answer with what is not finite.
        BackendUnavailable: The device, or Captum, is not here, or the engine fails on a batch.
    """
    store = PairStore.open(config.store)
    suffix, kinds = (".safetensors", (".safetensors",)) if config.grad_cam else (".onnx", KINDS)
    path = find_weights(config.weights, suffix=suffix, kinds=kinds)
    runtime = open_runtime(
        path, device=config.device, threads=config.threads, provider=config.provider
    )
    weights = EvaluatedWeights.of(runtime, path)
    split, pairs = open_pairs(store, config.split, [runtime.metadata])
    split.require_pairs()
    variant = runtime.metadata.network.variant
    if not variant.attends:
        raise ConfigError(
            f"the {variant} network of {path.name} has no attention to measure",
            "Give weights of another variant.",
        )
    sample = _Sample(config, runtime, path)
    rng = np.random.default_rng(config.seed)
    available = len(pairs.rows)
    count = min(config.pairs, available)
    rows = pairs.rows[np.sort(rng.choice(available, count, replace=False))]
    cues = None
    if config.scenes is not None:
        whole = find_cues(split, config.scenes)
        cues = [whole[row] for row in rows]
    for part in _parts(split, rows, config.batch):
        sample.add(part, cues)
        on_progress(sample.count, count)
    return sample.report(replace(pairs, rows=rows), available, weights, cues)


class _Sample:
    """What is known of the pairs measured so far."""

    def __init__(self, config: AttentionConfig, runtime: Runtime, path: Path) -> None:
        self.config, self.runtime = config, runtime
        self.count = 0
        self.answers: list[Answers] = []
        self.maps: dict[MapKind, list[NDArray[np.float32]]] = {}
        self.costs: dict[MapKind, list[Costs]] = {}
        self.curves: dict[MapKind, list[Curves]] = {}
        self.random_costs: list[Costs] = []
        self.random_curves: list[Curves] = []
        self.shown: list[ShownPair] = []
        self.grad_cam = None
        if config.grad_cam:
            # Late, because it brings torch, which an ONNX file does not need.
            from glamor_cli.evaluation.attention.grad_cam import GradCam

            self.grad_cam = GradCam(path, device=config.device)

    def add(self, part: Split, cues: list[Cue] | None) -> None:
        """Measure one batch of pairs."""
        answers = answer_split(self.runtime, part, len(part))
        faces, contexts = part.pairs(slice(0, len(part)))
        probabilities = answers.probabilities
        occluder = Occluder(self.runtime, faces, contexts, probabilities, self.config.hiding)
        maps = {MapKind.ATTENTION: answers.attention}
        if self.grad_cam is not None:
            maps[MapKind.GRAD_CAM] = self.grad_cam(faces, contexts, answers.answers)
        for kind, values in maps.items():
            self.maps.setdefault(kind, []).append(values)
            even, ties = self._draws(part, "even"), self._draws(part, "ties")
            self.costs.setdefault(kind, []).append(occluder.highest(values, even))
            self.curves.setdefault(kind, []).append(occluder.curves(values, ties))
        grid = (answers.attention.shape[1], answers.attention.shape[2])
        nothing = random_maps(grid, self._draws(part, "maps"))
        self.random_costs.append(occluder.anywhere(self._draws(part, "squares")))
        self.random_curves.append(occluder.curves(nothing, self._draws(part, "ties")))
        self._choose_shown(part, answers.labels, faces, contexts, cues)
        self.answers.append(answers)
        self.count += len(part)

    def _draws(self, part: Split, purpose: str) -> Draws:
        """Give each of the next pairs its generator: of the seed, its number and a purpose."""
        seed, rows = self.config.seed, range(self.count, self.count + len(part))
        return [np.random.default_rng([seed, row, *purpose.encode()]) for row in rows]

    def _choose_shown(
        self,
        part: Split,
        labels: NDArray[np.int64],
        faces: NDArray[np.float32],
        contexts: NDArray[np.float32],
        cues: list[Cue] | None,
    ) -> None:
        """Keep the first pair of each class."""
        known = {int(label) for done in self.answers for label in done.labels}
        for here, label in enumerate(labels.tolist()):
            if label not in known and len(self.shown) < _SHOWN:
                known.add(label)
                row = self.count + here
                cue = None if cues is None else cues[row]
                found = bool(part.boxes[here].any())
                self.shown.append(ShownPair(row, faces[here], contexts[here], found, cue))

    def report(
        self,
        pairs: JudgedPairs,
        available: int,
        weights: EvaluatedWeights,
        cues: list[Cue] | None,
    ) -> AttentionReport:
        """Put the batches together."""
        right = np.concatenate([part.right for part in self.answers])
        methods = {}
        for kind, batches in self.maps.items():
            maps = np.concatenate(batches)
            place = place_right = None
            if cues is not None:
                place = measure_attention(maps, cues)
                place_right = measure_attention(maps, cues, chosen=right) if right.any() else None
            costs, curves = _join_costs(self.costs[kind]), _join_curves(self.curves[kind])
            methods[kind] = MapMeasures(maps, costs, curves, place, place_right)
        labels = np.concatenate([part.labels for part in self.answers])
        return AttentionReport(
            config=self.config,
            split=pairs.split,
            available=available,
            weights=weights,
            variant=self.runtime.metadata.network.variant,
            engine=UsedEngine.of(self.runtime),
            classes=self.runtime.metadata.classes,
            labels=labels,
            probabilities=np.concatenate([part.probabilities for part in self.answers]),
            stream_weights=np.concatenate([part.stream_weights for part in self.answers]),
            sources=tuple(source for part in self.answers for source in part.sources),
            methods=methods,
            random_costs=_join_costs(self.random_costs),
            random_curves=_join_curves(self.random_curves),
            shown=tuple(sorted(self.shown, key=lambda pair: int(labels[pair.row]))),
            pairs=pairs,
        )


def _parts(split: Split, rows: NDArray[np.intp], batch: int) -> Iterator[Split]:
    """Cut chosen rows of a split into batches that are splits of their own."""
    for start in range(0, len(rows), batch):
        chosen = rows[start : start + batch]
        yield replace(
            split,
            faces=split.faces[chosen],
            contexts=split.contexts[chosen],
            targets=None,
            labels=split.labels[chosen],
            sources=[split.sources[row] for row in chosen],
            boxes=split.boxes[chosen],
            scores=split.scores[chosen],
        )


def _join_costs(parts: list[Costs]) -> Costs:
    return Costs(
        np.concatenate([part.drops for part in parts]),
        np.concatenate([part.answers for part in parts]),
    )


def _join_curves(parts: list[Curves]) -> Curves:
    return Curves(
        parts[0].shares,
        np.concatenate([part.deletion for part in parts]),
        np.concatenate([part.insertion for part in parts]),
    )
