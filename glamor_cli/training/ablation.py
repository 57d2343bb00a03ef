"""The paper's ablations (its table 4): each variant trained alike over several seeds, and judged.

Every training is a run folder of its own, so an ablation that was stopped goes on where it was.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev

from glamor_cli.atomic import write_text
from glamor_cli.data.scenes import Cue
from glamor_cli.data.store import PairStore
from glamor_cli.evaluation.attention import match_cues, measure_attention
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.training.checkpoints import has_checkpoint
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.trainer import BEST, Progress, train

RESULT = "result.json"
TABLE = "ablation.json"


@dataclass(frozen=True)
class AblationConfig:
    """What an ablation is asked to do.

    Attributes:
        training: The run that every variant repeats; its own folder holds all runs.
        variants: Which networks to compare.
        seeds: Each variant is trained once for each.
        test_split: The split to judge by.
        cues: Where the deciding cue of each scene is; None where that is not known.
    """

    training: TrainConfig
    variants: tuple[Variant, ...] = tuple(Variant)
    seeds: tuple[int, ...] = (0, 1, 2)
    test_split: str = "test"
    cues: dict[str, Cue] | None = None


@dataclass(frozen=True)
class RunResult:
    """How one trained network did on the test split.

    Attributes:
        variant: The network.
        seed: Of its training.
        accuracy: Share of the pairs that are right.
        near_cue: Share of the right pairs whose attention peaks within a cell of the deciding cue;
            None where there is no attention or the cues are not known.
    """

    variant: Variant
    seed: int
    accuracy: float
    near_cue: float | None


@dataclass(frozen=True)
class VariantResult:
    """One line of the table.

    Attributes:
        variant: The network.
        accuracies: On the test split, one for each seed.
        near_cue: Mean over the seeds; None where it was not measured.
    """

    variant: Variant
    accuracies: tuple[float, ...]
    near_cue: float | None

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return mean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Standard deviation of the accuracy over seeds; 0 for a single one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def ablate(
    config: AblationConfig,
    *,
    on_progress: Callable[[Variant, int, Progress], None] = lambda *_: None,
) -> list[VariantResult] | None:
    """Train and judge every variant with every seed.

    Args:
        config: What to do.
        on_progress: Called after every training step with the variant and the seed.

    Returns:
        A line for each variant, also written to ``ablation.json``; None where a stop was asked
        for. The same call goes on from there.

    Raises:
        GlamorError: As ``train`` and ``evaluate`` do.
    """
    results = []
    # Seed by seed, so that one that was stopped can already be compared.
    for seed in config.seeds:
        for variant in config.variants:
            result = _run(config, variant, seed, on_progress)
            if result is None:
                return None
            results.append(result)
    table = [_line(variant, results) for variant in config.variants]
    write_text(
        config.training.run / TABLE,
        json.dumps([asdict(line) | {"mean": line.mean} for line in table], indent=2) + "\n",
    )
    return table


def _run(
    config: AblationConfig,
    variant: Variant,
    seed: int,
    on_progress: Callable[[Variant, int, Progress], None],
) -> RunResult | None:
    """Train and judge one network, or read what an earlier call found."""
    folder = config.training.run / f"{variant}-{seed}"
    training = replace(
        config.training,
        run=folder,
        seed=seed,
        network=replace(config.training.network, variant=variant),
    )
    done = folder / RESULT
    if done.exists():
        values = json.loads(done.read_text(encoding="utf-8"))
        return RunResult(variant, seed, values["accuracy"], values["near_cue"])
    outcome = train(
        training,
        resume=has_checkpoint(folder),
        on_progress=lambda progress: on_progress(variant, seed, progress),
    )
    if not outcome.finished:
        return None
    result = _judge(config, training.network, folder / BEST, seed)
    write_text(done, json.dumps(asdict(result)) + "\n")
    return result


def _judge(config: AblationConfig, network: NetworkConfig, weights: Path, seed: int) -> RunResult:
    split = PairStore.open(config.training.store).split(config.test_split)
    runtime = open_runtime(weights, device=config.training.device, threads=config.training.threads)
    evaluation = evaluate(runtime, split)
    attends = network.variant not in (Variant.FACE_ONLY, Variant.POOLED_CONTEXT)
    near_cue = None
    if config.cues is not None and attends:
        right = evaluation.probabilities.argmax(axis=1) == evaluation.labels
        if right.any():
            cues = match_cues(evaluation.sources, config.cues)
            near_cue = measure_attention(evaluation.attention, cues, chosen=right).near_cue
    return RunResult(network.variant, seed, evaluation.metrics.accuracy, near_cue)


def _line(variant: Variant, results: Sequence[RunResult]) -> VariantResult:
    own = [result for result in results if result.variant is variant]
    peaks = [result.near_cue for result in own if result.near_cue is not None]
    return VariantResult(
        variant, tuple(result.accuracy for result in own), mean(peaks) if peaks else None
    )
