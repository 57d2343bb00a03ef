"""What a run is asked to do, and how it is written into the run's folder."""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch

from glamor_cli.data.split_names import TRAIN_SPLIT
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.atomic import write_text
from glamor_cli.files.kinds import holds_visible
from glamor_cli.files.reading import MALFORMED, read_bounded, sha256
from glamor_cli.network.config import NetworkConfig
from glamor_cli.runtimes.options import Device
from glamor_cli.settings import (
    flatten,
    require_positive,
    require_seed,
    settle_choices,
    settle_numbers,
    settle_paths,
    to_plain,
)
from glamor_cli.training.checkpoints import has_checkpoint
from glamor_cli.training.interrupts import CHECKPOINT_SECONDS
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.precision import choose_precision
from glamor_cli.training.recipes import Recipe

CONFIG = "config.json"
_MAX_BYTES = 1 << 20
"""Bytes of ``config.json``; a larger one is refused unread."""
BEST = "best.safetensors"
METRICS = "metrics.jsonl"

FREE_TO_CHANGE = (
    *("store", "initial_weights", "teacher"),
    *("device", "threads", "checkpoint_every", "deterministic"),
    "judged_by",
)
"""Settings that do not change what a run computes, or only in the last bits: of files, the content
counts and not the place. What a run is judged by, it keeps."""

_CONTENTS = {
    "pairs": "pairs",
    "pairs_labels": "labels",
    "initial_sha256": "initial weights",
    "teacher_sha256": "weights of a teacher",
}
"""Entries that stand for a file's content, and what people call it."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is asked to do.

    Attributes:
        store: The pair store.
        run: The run's folder.
        recipe: How to learn.
        network: What to learn.
        seed: Of everything random.
        train_split: The split to learn from; where the data have no splits, ``train`` means all.
        validation_split: The split to choose by; None takes the first of ``VALIDATION_SPLITS`` that
            there is, and else holds out a tenth of the training split.
        initial_weights: A ``.safetensors`` whose tensors of the same name and shape are taken over
            before the first step.
        teacher: A ``.safetensors`` of a trained network, or the ``.onnx`` of any classifier of
            faces (``onnx_teacher``); its answers become a share of the targets, the recipe's
            ``teacher_share``.
        precision: Of convolutions and matrix products.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None leaves it to torch.
        checkpoint_every: Seconds after which a step is followed by a checkpoint; 0: every step.
        deterministic: Only use algorithms that give the same bits on every run, also on a GPU,
            where they are slower.

    Raises:
        ConfigError: There is no such precision or device, less than one thread, a seed out of
            bounds, or a time between checkpoints that is negative or NaN.
    """

    store: Path
    run: Path
    recipe: Recipe
    network: NetworkConfig = field(default_factory=NetworkConfig)
    seed: int = 0
    train_split: str = TRAIN_SPLIT
    validation_split: str | None = None
    initial_weights: Path | None = None
    teacher: Path | None = None
    precision: TrainPrecision = TrainPrecision.AUTO
    device: str = Device.AUTO
    threads: int | None = None
    checkpoint_every: float = CHECKPOINT_SECONDS
    deterministic: bool = False

    def __post_init__(self) -> None:
        settle_paths(self, "store", "run", "initial_weights", "teacher")
        settle_choices(self, precision=TrainPrecision, device=Device)
        settle_numbers(self)
        require_seed(self.seed)
        require_positive(self.threads, "the number of threads", "--threads")
        if not self.checkpoint_every >= 0:  # so that NaN, which never comes, is refused too
            raise ConfigError(
                f"the time between checkpoints must be 0 or more, not {self.checkpoint_every}",
                "Give --checkpoint-every 0s or more.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Give the settings as JSON knows them; the run's own folder is left out."""
        values = _as_json_knows(asdict(self))
        del values["run"]
        return values


def settle_precision(config: TrainConfig, device: torch.device) -> TrainConfig:
    """Replace ``auto`` by what it chooses on a device.

    A run keeps that: resumed on other hardware, ``auto`` might choose another precision.
    """
    mixed = config.recipe.mixed_precision
    return replace(config, precision=choose_precision(config.precision, device, mixed=mixed))


def keep_precision(config: TrainConfig) -> TrainConfig:
    """Replace ``auto`` by what the run in the folder was begun with, if there is one.

    Raises:
        DataError: The run's ``config.json`` cannot be read.
    """
    if config.precision is not TrainPrecision.AUTO or not has_checkpoint(config.run):
        return config
    return replace(config, precision=read_precision(config.run))


def read_precision(run: Path) -> TrainPrecision:
    """Tell what a run was begun with; ``auto`` of one that an older version began.

    Args:
        run: The run's folder.

    Raises:
        DataError: Its ``config.json`` cannot be read.
    """
    return TrainPrecision(_read_config(run)["precision"])


def read_judged_by(run: Path) -> str | None:
    """Name the split that judges a run, its training split if a tenth of that does.

    Args:
        run: The run's folder.

    Returns:
        The split; None of a run that an older version began.

    Raises:
        DataError: Its ``config.json`` cannot be read.
    """
    judged_by: str | None = _read_config(run).get("judged_by")
    return judged_by


def check_can_begin(config: TrainConfig, *, resume: bool) -> None:
    """Check what can be told of a run before its store is opened.

    Raises:
        ConfigError: The folder holds a run that is not to be resumed or cannot be, or other files
            and no run.
    """
    can_resume = has_checkpoint(config.run)
    if can_resume and not resume:
        raise ConfigError(
            f"{config.run} already holds a run",
            "Add --resume to go on with it, or choose another folder with --run.",
        )
    # Beginning anew would overwrite weights that somebody kept without their checkpoints.
    if not can_resume and any((config.run / name).exists() for name in (BEST, METRICS)):
        raise ConfigError(
            f"{config.run} holds a run without checkpoints to go on from",
            "Choose another folder with --run, or move this one's files away.",
        )
    begins = not can_resume and config.run.is_dir() and not _is_begun(config.run)
    if begins and holds_visible(config.run):
        raise ConfigError(
            f"{config.run} holds other files and no run",
            "Choose an empty folder with --run, or one that does not exist yet.",
        )


def _is_begun(run: Path) -> bool:
    """Tell a run's settings from another program's: many have a ``config.json``."""
    try:
        return _read_config(run).keys() >= {"store", "recipe", "network"}
    except DataError:
        return False


def describe(config: TrainConfig, store: PairStore) -> dict[str, Any]:
    """Give what ``config.json`` holds: the settings, and what the files they name contained.

    Stores and files of weights may move, or be written anew: their content must stay.
    """
    initial, teacher = config.initial_weights, config.teacher
    return config.to_dict() | {
        "pairs": store.info.identity,
        "pairs_labels": store.labels_sha256(),
        "initial_sha256": None if initial is None else sha256(initial),
        "teacher_sha256": None if teacher is None else sha256(teacher),
    }


def describe_lasting(config: TrainConfig, store: PairStore) -> dict[str, Any]:
    """Give what makes a run what it is: ``describe`` without what may change."""
    values = describe(config, store)
    return {key: value for key, value in values.items() if key not in FREE_TO_CHANGE}


def write_config(config: TrainConfig, store: PairStore, judged_by: str) -> None:
    """Write a run's settings into its folder.

    Args:
        config: The settings.
        store: The store it learns from.
        judged_by: The split that judges it, as ``read_judged_by`` gives it.

    Raises:
        ConfigError: The folder cannot be written to.
        DataError: An index of the store is damaged.
    """
    values = describe(config, store) | {"judged_by": judged_by}
    write_text(config.run / CONFIG, json.dumps(values, indent=2) + "\n")


@dataclass(frozen=True)
class Change:
    """A setting in which a run differs from the settings it is compared with.

    Attributes:
        key: The setting, with dots: ``recipe.face.degrees``.
        before: What the run was begun with; None if it had nothing of that name.
        now: What is asked for.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        """Say what was before, to follow upon "it was started with"."""
        if self.key in _CONTENTS:
            return f"{'no' if self.before is None else 'other'} {_CONTENTS[self.key]}"
        return f"{self.key} = {self.before}, not {self.now}"


def first_change(
    run: Path, config: TrainConfig, store: PairStore, free: tuple[str, ...] = FREE_TO_CHANGE
) -> Change | None:
    """Find the first setting in which a run differs from a configuration.

    Settings that an older version did not know count as left at their defaults. A run holds the
    precision that ``auto`` chose; ``auto`` itself, as older versions held it and as an ablation
    asks for it, differs from none.

    Args:
        run: The run's folder.
        config: What is asked for; its own folder does not matter.
        store: The store it learns from.
        free: Settings that may differ.

    Raises:
        DataError: The folder's settings are missing or damaged.
    """
    before = flatten(_read_config(run))
    now = flatten(describe(config, store))
    before = flatten(_defaults(config)) | _contents(before, now) | before
    if TrainPrecision.AUTO in (before["precision"], now["precision"]):
        free = (*free, "precision")
    for key in sorted(before | now):
        if before.get(key) != now.get(key) and key not in free:
            return Change(key, before.get(key), now.get(key))
    return None


def check_same_config(config: TrainConfig, store: PairStore) -> None:
    """Check that a run is resumed as it was begun.

    Raises:
        ConfigError: It was begun with other settings; the message names the first difference.
        DataError: The folder's settings are missing or damaged.
    """
    change = first_change(config.run, config, store)
    if change is not None:
        raise ConfigError(
            f"the run in {config.run} was started with {change}",
            "Resume with the same settings and version of glamor, or start again in another folder "
            "with --run.",
        )


def _read_config(run: Path) -> dict[str, Any]:
    """Read a run's settings.

    Raises:
        DataError: They are missing or damaged.
    """
    path = run / CONFIG
    try:
        values: dict[str, Any] = json.loads(read_bounded(path, _MAX_BYTES))
        TrainPrecision(values["precision"])
    except (OSError, *MALFORMED) as error:
        raise DataError(
            f"{path} cannot be read ({error})",
            f"Remove {run} to train again, or choose another folder.",
        ) from error
    return values


def _as_json_knows(settings: dict[str, Any]) -> dict[str, Any]:
    """Turn paths into text, and what NumPy numbers the recipe's own settings hold into Python's."""
    values: dict[str, Any] = json.loads(
        json.dumps(
            settings, default=lambda one: str(one) if isinstance(one, Path) else to_plain(one)
        )
    )
    return values


def _defaults(config: TrainConfig) -> dict[str, Any]:
    """What a ``config.json`` may lack: settings with defaults."""
    return _as_json_knows(_own_defaults(config) | {"recipe": _own_defaults(config.recipe)})


def _own_defaults(settings: TrainConfig | Recipe) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for entry in fields(settings):
        if entry.default is not MISSING:
            defaults[entry.name] = entry.default
        elif entry.default_factory is not MISSING:
            defaults[entry.name] = asdict(entry.default_factory())
    return defaults


def _contents(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The contents that a ``config.json`` may lack: as they are now, if the paths are the same."""
    contents = {name: now[name] for name in ("pairs", "pairs_labels")}
    for path, content in (("initial_weights", "initial_sha256"), ("teacher", "teacher_sha256")):
        named = before.get(path)
        contents[content] = now[content] if named == now[path] else named
    return contents
