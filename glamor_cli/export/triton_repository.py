"""A model repository that NVIDIA's Triton Inference Server serves as it is."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.export.options import BatchRange
from glamor_cli.files.atomic import atomic_path, write_text
from glamor_cli.files.reading import read_bounded
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.exported import read_exported
from glamor_cli.runtimes.interface import BOXES, IMAGE
from glamor_cli.runtimes.sidecar import read_sidecar
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.weights.metadata import Metadata

CONFIGURATION = "config.pbtxt"
LABELS = "labels.txt"
MAX_BYTES = 1 << 20
"""Bytes; an older configuration that is larger is none of ours."""
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
class _Interface:
    """What a model takes and gives."""

    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]

    def to_text(self) -> tuple[str, str]:
        """Give the configuration's sections ``input`` and ``output``."""
        inputs, outputs = (
            ",\n".join(tensor.to_text() for tensor in tensors)
            for tensors in (self.inputs, self.outputs)
        )
        return f"input [\n{inputs}\n]", f"output [\n{outputs}\n]"


@dataclass(frozen=True)
class _Model:
    """What Triton has to know of a model."""

    metadata: Metadata
    backend: str
    file: str
    interface: _Interface
    batch: BatchRange | None


def write_triton_repository(
    artefact: Path, repository: Path, batch: BatchRange | None = None
) -> Path:
    """Write ``<repository>/<name>/`` with its configuration, labels and version 1 of the model.

    Networks are batched by the server, as requests come; a graph with preprocessing takes one
    image a request, and all its boxes. The configuration is written last. A model of that name is
    replaced if requests to it stay as they are.

    Args:
        artefact: An ``.onnx`` or ``.engine`` file from ``glamor export``.
        repository: The folder that ``tritonserver --model-repository`` is given. Other models in
            it are left alone.
        batch: The usual and the largest batch of an ONNX file; an engine has its own.

    Returns:
        The model's folder.

    Raises:
        ConfigError: The folder cannot be written to, its model of that name has other inputs or
            outputs, or Triton cannot serve such a file.
        CheckpointError: The file, or an engine's sidecar, is damaged, or not from glamor.
    """
    if artefact.suffix == ".engine":
        model = _describe_engine(artefact)
    else:
        model = _describe_onnx(artefact, batch or BatchRange())
    folder = repository / _folder_name(model.metadata)
    _require_same_interface(folder, model.interface)
    with atomic_path(folder / "1" / model.file) as temporary:
        shutil.copyfile(artefact, temporary)
    write_text(folder / LABELS, "".join(f"{name}\n" for name in model.metadata.classes))
    write_text(folder / CONFIGURATION, _configure(folder.name, model))
    return folder


def require_place(metadata: Metadata, repository: Path, *, with_preprocessing: bool) -> None:
    """Find out before the work whether a repository has a place for what is made of weights.

    Args:
        metadata: Of the weights.
        repository: As for `write_triton_repository`.
        with_preprocessing: Whether the graph will take images and boxes.

    Raises:
        ConfigError: Its model of that name has other inputs or outputs.
    """
    interface = _describe_interface(metadata, with_preprocessing=with_preprocessing)
    _require_same_interface(repository / _folder_name(metadata), interface)


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


def _folder_name(metadata: Metadata) -> str:
    """Give the weights' name, as one folder can be named."""
    return re.sub(r"^\.+|[^\w.-]", "-", metadata.name)


def _require_same_interface(folder: Path, interface: _Interface) -> None:
    """Refuse to replace a model that its clients ask in another way."""
    path = folder / CONFIGURATION
    remedy = f"Choose another --triton-repository, or move {folder} away."
    if not path.exists():
        return
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", remedy) from error
    known = "".join(text.split())
    if any("".join(section.split()) not in known for section in interface.to_text()):
        raise ConfigError(
            f"{path} is of a model with other inputs or outputs than this export has", remedy
        )


def _describe_engine(path: Path) -> _Model:
    sidecar = read_sidecar(path)
    require_served(sidecar.target)
    batch = BatchRange(sidecar.batch_min, sidecar.batch_opt, sidecar.batch_max)
    return _Model(
        sidecar.metadata,
        "tensorrt",
        "model.plan",
        _describe_interface(sidecar.metadata, with_preprocessing=False),
        batch,
    )


def _describe_onnx(path: Path, batch: BatchRange) -> _Model:
    exported = read_exported(path)
    image = set(exported.inputs) == {IMAGE, BOXES}
    if not image:
        exported.require_network()
    return _Model(
        exported.metadata,
        "onnxruntime",
        "model.onnx",
        _describe_interface(exported.metadata, with_preprocessing=image),
        None if image else batch,
    )


_NETWORK_INPUTS = (
    _Tensor("face", "TYPE_FP32", (3, FACE_SIZE, FACE_SIZE)),
    _Tensor("context", "TYPE_FP32", (3, CONTEXT_SIZE, CONTEXT_SIZE)),
)
_IMAGE_INPUTS = (
    _Tensor(IMAGE, "TYPE_UINT8", (_ANY, _ANY, 3)),
    _Tensor(BOXES, "TYPE_FP32", (_ANY, 4)),
)


def _describe_interface(metadata: Metadata, *, with_preprocessing: bool) -> _Interface:
    size = metadata.network.attention_size
    # Triton leaves the batch out, but boxes are none.
    leading = (_ANY,) if with_preprocessing else ()
    outputs = (
        _Tensor("probabilities", "TYPE_FP32", (*leading, len(metadata.classes)), labels=True),
        _Tensor("attention", "TYPE_FP32", (*leading, size, size)),
        _Tensor("stream_weights", "TYPE_FP32", (*leading, 2)),
    )
    return _Interface(_IMAGE_INPUTS if with_preprocessing else _NETWORK_INPUTS, outputs)


def _configure(name: str, model: _Model) -> str:
    """Write the configuration in protobuf's text format."""
    sections = [
        f'name: "{name}"',
        f'backend: "{model.backend}"',
        f'default_model_filename: "{model.file}"',
        # Triton takes 0 for "the first axis is not a batch".
        f"max_batch_size: {model.batch.maximum if model.batch else 0}",
        *model.interface.to_text(),
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
