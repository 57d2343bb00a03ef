"""The paper's ablations (its table 4): each variant trained alike over several seeds, and judged.

Every training is a run folder of its own, so an ablation that was stopped goes on where it was, and
its table holds whatever is finished in the folder, whichever call trained it.
"""

import json
import operator
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from glamor_cli.ablation.figure import save_ablation
from glamor_cli.ablation.options import SEEDS, TEST_SPLIT
from glamor_cli.ablation.table import RunResult, VariantResult, summarise, to_markdown
from glamor_cli.data.scenes.cues import read_cues
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.data.store.shared_images import note_shared
from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.attention.cues import find_cues
from glamor_cli.evaluation.attention.measure import measure_attention
from glamor_cli.evaluation.evaluate import evaluate
from glamor_cli.files.atomic import write_json, write_text
from glamor_cli.files.reading import MALFORMED, read_bounded
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.settings import require_seeds, settle_paths, settle_several
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.torchrun import processes
from glamor_cli.training.config import (
    BEST,
    CONFIG,
    FREE_TO_CHANGE,
    TrainConfig,
    first_change,
    read_precision,
)
from glamor_cli.training.find_teacher import lacks_teacher
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.progress import Progress
from glamor_cli.training.splits import choose_validation_split, settle_train_split
from glamor_cli.training.trainer import begin_or_resume

RESULT = "result.json"
_MAX_BYTES = 1 << 20
"""Bytes of ``result.json``; a larger one is none of ours."""
TABLE, MARKDOWN, PICTURE = "ablation.json", "ablation.md", "ablation.png"

_MAY_DIFFER = (*FREE_TO_CHANGE, "seed", "network.variant")
"""Settings in which the runs of one ablation may differ."""


@dataclass(frozen=True)
class AblationConfig:
    """What an ablation is asked to do.

    Attributes:
        training: The run that every variant repeats; its own folder holds all runs.
        variants: Which networks to train.
        seeds: Each variant is trained once for each.
        test_split: The split to judge by.
        scenes: The folder of generated scenes that the store was made from, to measure where
            attention looks; None where there is none.

    Raises:
        ConfigError: There is no such variant, no variant or seed at all, or a seed out of bounds.
    """

    training: TrainConfig
    variants: tuple[Variant, ...] = tuple(Variant)
    seeds: tuple[int, ...] = tuple(range(SEEDS))
    test_split: str = TEST_SPLIT
    scenes: Path | None = None

    def __post_init__(self) -> None:
        settle_paths(self, "scenes")
        settle_several(self, variants=Variant)
        if not self.variants:
            raise ConfigError("there are no variants to train", "Give at least one variant.")
        object.__setattr__(self, "seeds", tuple(map(operator.index, self.seeds)))  # NumPy's too
        require_seeds(self.seeds)


def ablate(
    config: AblationConfig,
    *,
    on_progress: Callable[[Variant, int, Progress], None] = lambda *_: None,
) -> list[VariantResult] | None:
    """Train and judge every variant with every seed that is not finished yet.

    Afterwards, also after a stop, the table of all runs finished in the folder is written to
    ``ablation.json``, ``ablation.md`` and ``ablation.png``.

    Args:
        config: What to do.
        on_progress: Called after every training step with the variant and the seed.

    Returns:
        A line for each variant that has finished runs in the folder; None where a stop was asked
        for. The same call goes on from there.

    Raises:
        ConfigError: The folder holds runs of another kind, the store has no such split to judge
            by, or the networks would have learnt from it, the recipe needs trained weights or a
            teacher's answers, or torchrun started several processes.
        GlamorError: As ``train`` and ``evaluate`` do.
    """
    if processes() > 1:
        raise ConfigError(
            f"torchrun started {processes()} processes for one ablation",
            "Start glamor ablate without torchrun; several can share the work by --variant.",
        )
    if config.training.recipe.freeze_face:
        raise ConfigError(
            f"the recipe {config.training.recipe.name} starts from trained weights, "
            "but an ablation trains its networks from scratch",
            "Choose another --recipe.",
        )
    if lacks_teacher(config.training, PairStore.open(config.training.store)):
        raise ConfigError(
            f"the recipe {config.training.recipe.name} learns from a teacher's answers, "
            "and the store has none",
            "Choose another --recipe.",
        )
    _check_split(config)
    # The table needs them alike in the end, so better before hours are spent.
    for finished in _finished(config.training.run):
        _check_alike(config, _folder(config, *finished))
    for seed in dict.fromkeys(config.seeds):
        # Seed by seed, so that one that was stopped can already be compared.
        for variant in dict.fromkeys(config.variants):
            if not _run(config, variant, seed, on_progress):
                write_table(config)
                return None
    return write_table(config)


def ablation_notes(config: AblationConfig) -> list[str]:
    """Say why figures will flatter or cannot be compared, a sentence each; none if all is well.

    Raises:
        DataError: The store, or the settings of a run in the folder, cannot be used.
    """
    store, training = PairStore.open(config.training.store), settle_train_split(config.training)
    notes = []
    precisions = _precisions(config, _finished(training.run)) - {TrainPrecision.AUTO}
    if len(precisions) > 1:
        notes.append(
            f"The runs in {training.run} were trained in {' and '.join(sorted(precisions))}: "
            "a part of their differences may be the precision's."
        )
    if config.test_split == choose_validation_split(store, training):
        notes.append(
            f"The split {config.test_split} also chooses each training's best epoch: "
            "figures measured on it will be too high."
        )
    return [*notes, *note_shared(store, training.train_split)]


def _check_split(config: AblationConfig) -> None:
    """Check the split to judge by, and its scenes, before hours are spent on what is judged."""
    split = PairStore.open(config.training.store).split(config.test_split)
    split.require_pairs()
    if config.test_split == settle_train_split(config.training).train_split:
        raise ConfigError(
            f"the split {config.test_split!r} is the training split "
            "and cannot also be used for evaluation",
            "Choose another --test-split.",
        )
    if config.scenes is not None:
        find_cues(split, config.scenes)


def write_table(config: AblationConfig) -> list[VariantResult]:
    """Put all runs finished in the folder into one table, and write and draw it.

    A run that was not judged as ``config`` says (without scenes, on another split) is judged
    again; nothing is trained.

    Args:
        config: Its ``variants`` and ``seeds`` do not matter.

    Returns:
        A line for each variant with finished runs, from the parts to the whole; empty where no
        run is finished.

    Raises:
        ConfigError: The folder holds runs of another kind.
        GlamorError: As ``evaluate`` does.
    """
    _check_split(config)
    folder = config.training.run
    results = [_result(config, *found) for found in _finished(folder)]
    table = summarise(results)
    if table:
        write_json(folder / TABLE, to_dict(config, table))
        write_text(folder / MARKDOWN, to_markdown(table))
        save_ablation(folder / PICTURE, table, _discs(config))
    return table


def to_dict(config: AblationConfig, table: list[VariantResult]) -> dict[str, Any]:
    """Give what ``ablation.json`` and ``glamor ablate --json`` say.

    ``environment`` is the machine that wrote the table; runs of the folder may be another's.
    ``precision`` is null where the runs of the table differ in it, or one does not say.

    Raises:
        DataError: The settings of a run in the folder, or the scenes, cannot be used.
    """
    precisions = _precisions(config, _finished(config.training.run))
    return {
        "environment": describe_environment().to_dict(),
        "recipe": config.training.recipe.name,
        "epochs": config.training.recipe.epochs,
        "encoder": config.training.network.encoder.value,
        "precision": None if TrainPrecision.AUTO in precisions else _only(precisions),
        "store": config.training.store.resolve().name,
        "split": config.test_split,
        "discs": _discs(config),
        "variants": [line.to_dict() for line in table],
    }


def _only(precisions: set[TrainPrecision]) -> TrainPrecision | None:
    """Give the one there is; None where there are several, or none."""
    return next(iter(precisions)) if len(precisions) == 1 else None


def _finished(folder: Path) -> list[tuple[Variant, int]]:
    """Find the runs of a folder that were trained to the end and judged."""
    return _runs_with(folder, RESULT)


def _runs_with(folder: Path, file: str) -> list[tuple[Variant, int]]:
    """Find the runs of a folder that have a file of this name."""
    found = []
    for variant in Variant:
        for path in folder.glob(f"{variant}-*/{file}"):
            seed = path.parent.name.removeprefix(f"{variant}-")
            if seed.isdecimal():
                found.append((variant, int(seed)))
    return sorted(found, key=lambda run: (tuple(Variant).index(run[0]), run[1]))


def _precisions(config: AblationConfig, runs: Sequence[tuple[Variant, int]]) -> set[TrainPrecision]:
    """Tell what runs were begun with; ``auto`` stands for those of older versions."""
    return {read_precision(_folder(config, *run)) for run in runs}


def _choose_precision(config: AblationConfig) -> TrainPrecision:
    """Let ``auto`` mean what the folder's other runs have: another machine may choose another."""
    wanted = config.training.precision
    if wanted is not TrainPrecision.AUTO:
        return wanted
    precisions = _precisions(config, _runs_with(config.training.run, CONFIG))
    return _only(precisions - {wanted}) or wanted


def _run(
    config: AblationConfig,
    variant: Variant,
    seed: int,
    on_progress: Callable[[Variant, int, Progress], None],
) -> bool:
    """Train and judge one network unless that is done; False where a stop was asked for."""
    folder = _folder(config, variant, seed)
    if (folder / RESULT).exists():
        _check_alike(config, folder)
        return True
    training = replace(
        config.training,
        run=folder,
        seed=seed,
        network=replace(config.training.network, variant=variant),
        precision=_choose_precision(config),
    )
    outcome = begin_or_resume(
        training, on_progress=lambda progress: on_progress(variant, seed, progress)
    )
    # One stopped in its last validation is finished, and judged by the next call.
    if outcome.stopped:
        return False
    _judge(config, training.network, seed)
    return True


def _result(config: AblationConfig, variant: Variant, seed: int) -> RunResult:
    """Read a finished run's result, or judge it again where that does not say enough."""
    folder = _folder(config, variant, seed)
    _check_alike(config, folder)
    network = replace(config.training.network, variant=variant)
    try:
        result = RunResult.from_dict(json.loads(read_bounded(folder / RESULT, _MAX_BYTES)))
    except (OSError, *MALFORMED):
        return _judge(config, network, seed)
    looked = result.near_cue is not None or config.scenes is None or not variant.attends
    return result if looked and result.split == config.test_split else _judge(config, network, seed)


def _judge(config: AblationConfig, network: NetworkConfig, seed: int) -> RunResult:
    """Judge a trained network on the test split, and write down the result."""
    folder = _folder(config, network.variant, seed)
    split = PairStore.open(config.training.store).split(config.test_split)
    weights, threads = folder / BEST, config.training.threads
    evaluation = evaluate(
        open_runtime(weights, device=config.training.device, threads=threads), split
    )
    place = None
    if config.scenes is not None and network.variant.attends:
        place = measure_attention(evaluation.attention, find_cues(split, config.scenes))
    result = RunResult(
        variant=network.variant,
        seed=seed,
        split=split.name,
        count=evaluation.metrics.count,
        accuracy=evaluation.metrics.accuracy,
        macro_f1=evaluation.metrics.macro_f1,
        near_cue=None if place is None else place.near_cue,
        pointing_game=None if place is None else place.pointing_game,
        mass=None if place is None else place.mass,
    )
    write_json(folder / RESULT, asdict(result), indent=None)
    return result


def _discs(config: AblationConfig) -> int | None:
    """Count the discs of a scene, where there are scenes."""
    cues = {} if config.scenes is None else read_cues(config.scenes)
    return next((1 + len(cue.decoys) for cue in cues.values()), None)


def _folder(config: AblationConfig, variant: Variant, seed: int) -> Path:
    return config.training.run / f"{variant}-{seed}"


def _check_alike(config: AblationConfig, folder: Path) -> None:
    """Check that a finished run was trained as this ablation's others are.

    Raises:
        ConfigError: It was not; the message names the first difference.
        DataError: Its settings are damaged.
    """
    store = PairStore.open(config.training.store)
    change = first_change(folder, settle_train_split(config.training), store, _MAY_DIFFER)
    if change is not None:
        raise ConfigError(
            f"{folder} was trained with {change}",
            "Use the ablation's settings and version of glamor again, or start another in a new "
            "folder with --run.",
        )
