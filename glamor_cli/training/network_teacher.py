"""A teacher of our architecture: a network in a ``.safetensors`` file."""

from pathlib import Path

import torch
from torch import Tensor

from glamor_cli.errors import ConfigError
from glamor_cli.network.config import Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.teacher import Teacher
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network


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

    metadata: Metadata

    def __init__(self, weights: Path, *, with_contexts: bool, device: torch.device) -> None:
        network, metadata = load_network(weights)
        if not with_contexts and metadata.network.variant.has_context:
            raise ConfigError(
                f"the teacher {weights} looks at contexts, but this training reads none",
                f"Choose a {Variant.FACE_ONLY} teacher, or train with --variant {Variant.FULL}.",
            )
        self.classes, self.metadata = metadata.classes, metadata
        self._network: GlamorNet = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def answer(self, faces: Tensor, contexts: Tensor) -> Tensor:
        """Answer as it was calibrated."""
        logits: Tensor = self._network(faces, contexts).logits
        return (logits.float() / self.metadata.temperature).softmax(1)
