"""A model repository that NVIDIA's Triton Inference Server serves as it is."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.export.options import BatchRange
from glamor_cli.export.with_preprocessing import BOXES, IMAGE
from glamor_cli.files.atomic import atomic_path, write_text
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.sidecar import read_sidecar
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.weights import Metadata

LABELS = "labels.txt"
QUEUE_DELAY = 2000
"""How long, in microseconds, a request waits for others to share its batch."""

_ANY = -1


@dataclass(frozen=True)
class _Tensor:
    """An input or output as Triton's configuration names it, without the batch."""

    name: str
    kind: str
    dims: tuple[int, ...]
    labels: bool = False

    def to_text(self) -> str:
        lines = [
            f'    name: "{self.name}"',
            f"    data_type: {self.kind}",
            f"    dims: [ {', '.join(map(str, self.dims))} ]",
        ]
        if self.labels:
            lines.append(f'    label_filename: "{LABELS}"')
        return "  {\n" + "\n".join(lines) + "\n  }"


@dataclass(frozen=True)
class _Model:
    """What Triton has to know of a model."""

    metadata: Metadata
    backend: str
    file: str
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]
    batch: BatchRange | None

    @property
    def name(self) -> str:
        """The weights' name, as one folder can be named."""
        return re.sub(r"^\.+|[^\w.-]", "-", self.metadata.name)


def write_triton_repository(
    artefact: Path, repository: Path, batch: BatchRange | None = None
) -> Path:
    """Write ``<repository>/<name>/`` with its configuration, labels and version 1 of the model.

    Networks are batched by the server, as requests come; a graph with preprocessing takes one
    image a request, and all its boxes. The configuration is written last.

    Args:
        artefact: An ``.onnx`` or ``.engine`` file from ``glamor export``.
        repository: The folder that ``tritonserver --model-repository`` is given. Other models in
            it are left alone.
        batch: The usual and the largest batch of an ONNX file; an engine has its own.

    Returns:
        The model's folder.

    Raises:
        ConfigError: The folder cannot be written to, or Triton cannot serve such a file.
        CheckpointError: The file, or an engine's sidecar, is damaged, or not from glamor.
    """
    if artefact.suffix == ".engine":
        model = _describe_engine(artefact)
    else:
        model = _describe_onnx(artefact, batch or BatchRange())
    folder = repository / model.name
    with atomic_path(folder / "1" / model.file) as temporary:
        shutil.copyfile(artefact, temporary)
    write_text(folder / LABELS, "".join(f"{name}\n" for name in model.metadata.classes))
    write_text(folder / "config.pbtxt", _configure(model))
    return folder


def require_served(target: Target) -> None:
    """Refuse engines that Triton has no backend for.

    Raises:
        ConfigError: They are TensorRT-RTX's.
    """
    if target is not Target.TRT:
        raise ConfigError(
            "Triton serves engines of TensorRT, not of TensorRT-RTX",
            "Build with --target trt, or write the repository from the ONNX file.",
        )


def _describe_engine(path: Path) -> _Model:
    sidecar = read_sidecar(path)
    require_served(sidecar.target)
    batch = BatchRange(sidecar.batch_min, sidecar.batch_opt, sidecar.batch_max)
    return _Model(
        sidecar.metadata,
        "tensorrt",
        "model.plan",
        _NETWORK_INPUTS,
        _network_outputs(sidecar.metadata, ()),
        batch,
    )


def _describe_onnx(path: Path, batch: BatchRange) -> _Model:
    exported = read_exported(path)
    metadata, file = exported.metadata, "model.onnx"
    if set(exported.inputs) == {IMAGE, BOXES}:
        outputs = _network_outputs(metadata, (_ANY,))
        return _Model(metadata, "onnxruntime", file, _IMAGE_INPUTS, outputs, None)
    exported.require_network()
    outputs = _network_outputs(metadata, ())
    return _Model(metadata, "onnxruntime", file, _NETWORK_INPUTS, outputs, batch)


_NETWORK_INPUTS = (
    _Tensor("face", "TYPE_FP32", (3, FACE_SIZE, FACE_SIZE)),
    _Tensor("context", "TYPE_FP32", (3, CONTEXT_SIZE, CONTEXT_SIZE)),
)
_IMAGE_INPUTS = (
    _Tensor(IMAGE, "TYPE_UINT8", (_ANY, _ANY, 3)),
    _Tensor(BOXES, "TYPE_FP32", (_ANY, 4)),
)


def _network_outputs(metadata: Metadata, leading: tuple[int, ...]) -> tuple[_Tensor, ...]:
    size = metadata.network.attention_size
    return (
        _Tensor("probabilities", "TYPE_FP32", (*leading, len(metadata.classes)), labels=True),
        _Tensor("attention", "TYPE_FP32", (*leading, size, size)),
        _Tensor("stream_weights", "TYPE_FP32", (*leading, 2)),
    )


def _configure(model: _Model) -> str:
    """Write the configuration in protobuf's text format."""
    sections = [
        f'name: "{model.name}"',
        f'backend: "{model.backend}"',
        f'default_model_filename: "{model.file}"',
        # Triton takes 0 for "the first axis is not a batch".
        f"max_batch_size: {model.batch.maximum if model.batch else 0}",
        "input [\n" + ",\n".join(tensor.to_text() for tensor in model.inputs) + "\n]",
        "output [\n" + ",\n".join(tensor.to_text() for tensor in model.outputs) + "\n]",
    ]
    if model.batch is not None and model.batch.maximum > 1:
        sections.append(
            "dynamic_batching {\n"
            f"  preferred_batch_size: [ {model.batch.optimum} ]\n"
            f"  max_queue_delay_microseconds: {QUEUE_DELAY}\n"
            "}"
        )
    sections.append("instance_group [ { count: 1 } ]")
    return "\n".join(sections) + "\n"
