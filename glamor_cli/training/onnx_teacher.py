"""A teacher of any architecture: a classifier of faces in an ONNX file.

The file's one input is faces (B, 3, 96, 96), RGB in [0, 1], for any B; its one output is
probabilities (B, classes), of any floating-point kind. Its metadata entry ``classes`` is a JSON
list of their names.
"""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.errors import CheckpointError, is_lack_of_memory
from glamor_cli.files.reading import MALFORMED
from glamor_cli.network.config import FACE_SIZE
from glamor_cli.runtimes.onnx import open_session
from glamor_cli.training.teacher import Teacher

CLASSES_KEY = "classes"
"""The metadata entry that names the classes."""

_TRIED = 2
"""Faces that are tried at once: a file made for one fails here, not in the training."""


class OnnxTeacher(Teacher):
    """A classifier of faces that ONNX Runtime runs.

    Args:
        path: The ``.onnx`` file.
        device: Where it answers.
        threads: CPU threads; None for one for each core.

    Raises:
        CheckpointError: The file is damaged, or is not what the module's text says.
        BackendUnavailable: ONNX Runtime cannot use the device.
    """

    def __init__(self, path: Path, *, device: torch.device, threads: int | None) -> None:
        self._path, self.metadata = path, None
        # Under torchrun each process has a GPU of its own.
        self._session = open_session(
            path, device=device.type, threads=threads, gpu=device.index or 0
        )
        try:
            names = self._session.get_modelmeta().custom_metadata_map.get(CLASSES_KEY)
        except ValueError as error:
            # ONNX Runtime reads all entries at once, and takes them for UTF-8.
            raise _foreign(path, f"its metadata cannot be read: {error}") from error
        if names is None or len(self._session.get_inputs()) != 1:
            raise _foreign(path, "it is not a classifier of faces that names its classes")
        try:
            self.classes = tuple(str(name) for name in json.loads(names))
        except MALFORMED as error:
            raise _foreign(path, f"its classes cannot be read: {error}") from error
        self._input = self._session.get_inputs()[0].name
        tried = self._ask(np.zeros((_TRIED, 3, FACE_SIZE, FACE_SIZE), np.float32))
        if tried.shape != (_TRIED, len(self.classes)) or not np.allclose(
            tried.sum(1), 1, atol=1e-3
        ):
            raise _foreign(path, f"it does not answer with {len(self.classes)} probabilities")

    def answer(self, faces: Tensor, contexts: Tensor) -> Tensor:
        """Answer to the faces; contexts are not looked at."""
        del contexts
        probabilities = self._ask(faces.float().cpu().contiguous().numpy())
        return torch.from_numpy(probabilities).to(faces.device)

    def _ask(self, faces: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            answers: list[object] = self._session.run(None, {self._input: faces})
        except Exception as error:
            # ONNX Runtime's exceptions share no base but Exception.
            if is_lack_of_memory(error):
                raise
            raise _foreign(self._path, f"it fails on a batch of {len(faces)} faces") from error
        answer = answers[0]
        if not isinstance(answer, np.ndarray) or answer.dtype.kind != "f":
            raise _foreign(self._path, "it does not answer with an array of floating-point numbers")
        return answer.astype(np.float32, copy=False)


def _foreign(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot teach: {reason}",
        "Give the .safetensors of a network, or an ONNX file with faces (B, 3, 96, 96) in, "
        "probabilities out and a metadata entry 'classes'.",
    )
