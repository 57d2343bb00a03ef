"""A trained network whose answers another learns from, beside the labels.

Distillation (Hinton et al. 2015, arXiv 1503.02531) at temperature 1: a share of the target is what
the teacher answers to the very images that the student sees (Beyer et al. 2022, arXiv 2106.05237).
"""

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from glamor_cli.errors import ConfigError
from glamor_cli.network.config import FACE_SIZE, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.validation import resize
from glamor_cli.weights import load_network


class Teacher(ABC):
    """A classifier that is asked and never changed.

    Attributes:
        classes: Emotions in the order of its answers.
    """

    classes: tuple[str, ...]

    @abstractmethod
    def answer(self, faces: Tensor, contexts: Tensor) -> Tensor:
        """Give probabilities (B, classes), float32.

        Args:
            faces: (B, 3, 96, 96), RGB in [0, 1].
            contexts: (B, 3, 112, 112), RGB in [0, 1].
        """

    @torch.no_grad()
    def mix(self, targets: Tensor, share: float, faces: Tensor, contexts: Tensor) -> Tensor:
        """Replace a share of the targets by what the teacher answers to the same images.

        Args:
            targets: (B, classes), each row summing to 1.
            share: Of the target, how much the answer makes up.
            faces: (B, 3, S, S), RGB in [0, 1], as the student sees them; the teacher gets them at
                full size, which it was trained on.
            contexts: (B, 3, 112, 112), RGB in [0, 1].

        Returns:
            (B, classes), each row summing to 1.
        """
        return targets.lerp(self.answer(resize(faces, FACE_SIZE), contexts), share)


class NetworkTeacher(Teacher):
    """A network of ours.

    Args:
        weights: A ``.safetensors`` file.
        with_contexts: Whether the training reads contexts.
        device: Where it answers.

    Raises:
        ConfigError: It looks at contexts that the training does not read.
        CheckpointError: The file is damaged or foreign.
    """

    def __init__(self, weights: Path, *, with_contexts: bool, device: torch.device) -> None:
        network, metadata = load_network(weights)
        if not with_contexts and metadata.network.variant.has_context:
            raise ConfigError(
                f"the teacher {weights} looks at contexts, but this training reads none",
                f"Choose a {Variant.FACE_ONLY} teacher, or train with --variant {Variant.FULL}.",
            )
        self.classes = metadata.classes
        self._temperature = metadata.temperature
        self._network: GlamorNet = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def answer(self, faces: Tensor, contexts: Tensor) -> Tensor:
        """Answer as it was calibrated."""
        logits: Tensor = self._network(faces, contexts).logits
        return (logits.float() / self._temperature).softmax(1)


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
