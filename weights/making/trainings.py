"""The trainings that led to registered weights, summed up, so that their cards need no run folders.

``trainings.json`` has, for each file of weights, its trainings and means in their order.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mean_weights import MEAN
from teacher_networks import FACERES, FACES
from train_teacher import HIGHEST_RATE, SETTINGS

from glamor_cli.files.atomic import write_text
from glamor_cli.training.config import BEST, CONFIG, METRICS
from glamor_cli.training.recipes import find_recipe
from glamor_cli.weights.network_file import read_metadata

TRAININGS = Path(__file__).with_name("trainings.json")
TEACHER_RECIPE = "EfficientNet-Lite"
FACES_RECIPE = "face recognition network"
FACERES_RECIPE = "MobileNet of VGGFace2"

OVERRIDES = {
    "--epochs": "epochs",
    "--batch": "batch_size",
    "--lr": "learning_rate",
    "--teacher-share": "teacher_share",
    "--mix": "mix",
}
"""Options of ``glamor train`` that change a recipe."""

_TEACHER_RECIPES = {FACES: FACES_RECIPE, FACERES: FACERES_RECIPE}
_FOLDERS = {FACES: "package/model", FACERES: "package/models"}


@dataclass(frozen=True)
class Training:
    """A step on the way to weights.

    Attributes:
        name: Of its folder.
        command: What ran it.
        recipe: How it learnt; None for a step without learning, such as a mean.
        seed: Of its randomness.
        epochs: How many it had.
        accuracy: On the validation split, of what it kept.
        hours: What it took; None where it was not recorded.
    """

    name: str
    command: str
    recipe: str | None = None
    seed: int = 0
    epochs: int = 0
    accuracy: float = 0.0
    hours: float | None = None

    @property
    def is_mean(self) -> bool:
        """Whether it averages weights."""
        return "mean_weights.py" in self.command


def read_trainings(name: str) -> list[Training]:
    """Read what led to the weights of that name."""
    return [Training(**entry) for entry in _recorded().get(name, [])]


def record_trainings(name: str, runs: list[Path]) -> list[Training]:
    """Add runs to what led to the weights of that name; one of the same name is replaced.

    Args:
        name: Of the weights.
        runs: Folders of trainings, of means and of teachers, in their order.

    Returns:
        All of them.
    """
    by_name = {training.name: training for training in read_trainings(name)}
    by_name |= {run.name: summarise(run) for run in runs}
    entries = [asdict(training) for training in by_name.values()]
    write_text(TRAININGS, json.dumps(_recorded() | {name: entries}, indent=2) + "\n")
    return list(by_name.values())


def _recorded() -> dict[str, list[dict[str, Any]]]:
    recorded: dict[str, list[dict[str, Any]]] = json.loads(TRAININGS.read_text("utf-8"))
    return recorded


def summarise(run: Path) -> Training:
    """Sum up the folder of a training, a mean or a teacher."""
    if (run / SETTINGS).exists():
        return _summarise_teacher(run)
    if (run / MEAN).exists():
        mean = json.loads((run / MEAN).read_text("utf-8"))
        command = (
            f"python weights/making/mean_weights.py {run.name} {mean['first']} {mean['second']}"
        )
        return Training(run.name, f"{command} --share {mean['share']:g}")
    config = json.loads((run / CONFIG).read_text("utf-8"))
    lines = _epochs(run)
    return Training(
        run.name,
        _command(run.name, config),
        config["recipe"]["name"],
        config["seed"],
        len(lines),
        read_metadata(run / BEST).accuracy["validation"],
        _hours(lines),
    )


def _command(name: str, config: dict[str, Any]) -> str:
    line = f"glamor train {Path(config['store']).name} --run {name}"
    recipe = find_recipe(config["recipe"]["name"])
    line += f" --recipe {recipe.name}"
    for option, setting in OVERRIDES.items():
        value = config["recipe"][setting]
        if value != getattr(recipe, setting):
            line += f" {option} {value:g}"
    if config["network"]["encoder"] != "original":
        line += f" --network {config['network']['encoder']}"
    if config["network"]["variant"] != "full":
        line += f" --variant {config['network']['variant']}"
    if config["initial_weights"]:
        line += f" --init {_in_its_folder(config['initial_weights'])}"
    if config["seed"]:
        line += f" --seed {config['seed']}"
    if config.get("teacher"):
        line += f" --teacher {_in_its_folder(config['teacher'])}"
    return line


def _in_its_folder(path: str) -> str:
    """Name a file by its training's folder and itself, wherever that training was run."""
    return Path(*Path(path).parts[-2:]).as_posix()


def _summarise_teacher(run: Path) -> Training:
    settings = json.loads((run / SETTINGS).read_text("utf-8"))
    if "mean_of" in settings:
        of = " ".join(settings["mean_of"])
        return Training(run.name, f"python weights/making/mean_teachers.py {run.name} {of}")
    line = f"python weights/making/train_teacher.py {settings['store']} {run.name}"
    network = settings["network"]
    line += f" --network {network} --sizes {settings['sizes']}"
    if network in _FOLDERS:
        line += f" --weights {_FOLDERS[network]}"
    if "init" in settings:
        line += f" --init {settings['init']}"
    if settings.get("gentle"):
        line += " --gentle"
    if settings["lr"] != HIGHEST_RATE:
        line += f" --lr {settings['lr']:g}"
    if settings["seed"]:
        line += f" --seed {settings['seed']}"
    if "answer_size" in settings:
        line += f" --answer-size {settings['answer_size']}"
    lines = _epochs(run)
    return Training(
        run.name,
        line,
        _TEACHER_RECIPES.get(network, TEACHER_RECIPE),
        settings["seed"],
        len(lines),
        lines[-1]["validation_accuracy"],
        _hours(lines),
    )


def _epochs(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / METRICS).read_text("utf-8").splitlines()]


def _hours(lines: list[dict[str, Any]]) -> float | None:
    """Sum up the epochs' times; None where a training did not record them."""
    seconds = [line.get("seconds") for line in lines]
    return None if None in seconds else round(sum(seconds) / 3600, 2)
