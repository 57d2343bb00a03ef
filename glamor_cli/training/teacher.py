"""A trained network whose answers another learns from, beside the labels.

Distillation (Hinton et al. 2015, arXiv 1503.02531) at temperature 1: a share of the target is what
the teacher answers to the very images that the student sees (Beyer et al. 2022, arXiv 2106.05237).
"""

from pathlib import Path

import torch
from torch import Tensor

from glamor_cli.errors import ConfigError
from glamor_cli.network.config import FACE_SIZE, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.validation import resize
from glamor_cli.weights import load_network


class Teacher:
    """A trained network that is asked and never changed.

    Args:
        weights: A ``.safetensors`` file.
        share: Of the target, how much its answer makes up.
        classes: Emotions in the order of the student's outputs.
        with_contexts: Whether the training reads contexts.
        device: Where it answers.

    Raises:
        ConfigError: It tells other emotions, or looks at contexts that the training does not read.
        CheckpointError: The file is damaged or foreign.
    """

    def __init__(
        self,
        weights: Path,
        share: float,
        classes: tuple[str, ...],
        *,
        with_contexts: bool,
        device: torch.device,
    ) -> None:
        network, metadata = load_network(weights)
        if metadata.classes != classes:
            raise ConfigError(
                f"the teacher {weights} tells {', '.join(metadata.classes)}, not the store's "
                f"{', '.join(classes)}",
                "Choose a teacher that was trained on the same emotions.",
            )
        if not with_contexts and metadata.network.variant is not Variant.FACE_ONLY:
            raise ConfigError(
                f"the teacher {weights} looks at contexts, and this training reads none",
                f"Choose a {Variant.FACE_ONLY} teacher, or train with --variant {Variant.FULL}.",
            )
        self._share = share
        self._temperature = metadata.temperature
        self._network: GlamorNet = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def mix(self, targets: Tensor, faces: Tensor, contexts: Tensor) -> Tensor:
        """Replace a share of the targets by what the teacher answers to the same images.

        Args:
            targets: (B, classes), each row summing to 1.
            faces: (B, 3, S, S), RGB in [0, 1], as the student sees them; the teacher gets them at
                full size, which it was trained on.
            contexts: (B, 3, 112, 112), RGB in [0, 1].

        Returns:
            (B, classes), each row summing to 1.
        """
        logits = self._network(resize(faces, FACE_SIZE), contexts).logits.float()
        return targets.lerp((logits / self._temperature).softmax(1), self._share)
