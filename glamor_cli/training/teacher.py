"""A trained network whose answers another learns from, beside the labels.

Distillation (Hinton et al. 2015, arXiv 1503.02531) at temperature 1: a share of the target is what
the teacher answers to the very images that the student sees (Beyer et al. 2022, arXiv 2106.05237).
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from glamor_cli.network.config import FACE_SIZE
from glamor_cli.training.validation import resize
from glamor_cli.weights.metadata import Metadata


class Teacher(ABC):
    """A classifier that is asked and never changed.

    Attributes:
        classes: Emotions in the order of its answers.
        metadata: What its file says of itself; None where that is not one of ours.
    """

    classes: tuple[str, ...]
    metadata: Metadata | None

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
            share: Share of the target that the answer makes up.
            faces: (B, 3, S, S), RGB in [0, 1], as the student sees them; the teacher gets them at
                full size, which it was trained on.
            contexts: (B, 3, 112, 112), RGB in [0, 1].

        Returns:
            (B, classes), each row summing to 1.
        """
        return targets.lerp(self.answer(resize(faces, FACE_SIZE), contexts), share)
