"""Loading the teacher that a file holds, whichever kind it is of."""

from pathlib import Path

import torch

from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.network_teacher import NetworkTeacher
from glamor_cli.training.recipes import TAUGHT
from glamor_cli.training.teacher import Teacher


def lacks_teacher(config: TrainConfig, store: PairStore) -> bool:
    """Tell whether the recipe learns from a teacher's answers, and there are none.

    A store's soft labels may be such answers already.
    """
    return config.recipe.name in TAUGHT and config.teacher is None and not store.info.soft_labels


def find_teacher(
    path: Path,
    classes: tuple[str, ...],
    *,
    with_contexts: bool,
    device: torch.device,
    threads: int | None,
) -> Teacher:
    """Load a teacher from a file.

    Args:
        path: A ``.safetensors`` of ours, or the ``.onnx`` of any classifier of faces.
        classes: Emotions in the order of the student's outputs.
        with_contexts: Whether the training reads contexts.
        device: Where it answers.
        threads: CPU threads of ONNX Runtime; None for one for each core.

    Raises:
        ConfigError: It tells other emotions, or looks at contexts that the training does not read.
        CheckpointError: The file is damaged or foreign.
        BackendUnavailable: An ONNX file cannot be run on the device.
    """
    teacher: Teacher
    if path.suffix == ".onnx":
        from glamor_cli.training.onnx_teacher import OnnxTeacher

        teacher = OnnxTeacher(path, device=device, threads=threads)
    else:
        teacher = NetworkTeacher(path, with_contexts=with_contexts, device=device)
    if teacher.classes != classes:
        raise ConfigError(
            f"the teacher {path} predicts {', '.join(teacher.classes)}, not the store's "
            f"{', '.join(classes)}",
            "Choose a teacher that was trained on the same emotions.",
        )
    return teacher
