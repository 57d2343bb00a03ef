"""Weights: where they lie, what they say of themselves, and reading and writing them.

Files are safetensors; no pickle is ever read or written. Torch is imported only by the functions
that make a network, so that ``predict`` can find and describe weights without it.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.files.atomic import atomic_path
from glamor_cli.files.reading import MALFORMED
from glamor_cli.files.tensor_files import check_bounds, write_tensors
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.vision.geometry import Geometry

if TYPE_CHECKING:
    from torch import Tensor

    from glamor_cli.network.glamor_net import GlamorNet

DEFAULT_WEIGHTS = "glamor-original"
"""The registered weights that every command uses unless told otherwise."""

SCHEMA = 1
METADATA_KEY = "glamor"
"""The key under which safetensors and ONNX files carry our metadata, as JSON."""
CHECKPOINT_KEY = "glamor-training"
"""Under which a training's checkpoint says where it was; it holds no weights to answer with."""

MAX_WEIGHTS_BYTES = 512 * 2**20
"""A larger file of weights is refused; ResNet-18's has 92 MB in float32."""
_ENDINGS = (".safetensors", ".onnx", ".engine")
"""What the names of files of weights end in."""
_LARGEST_WIDTH = 4096
"""Of a network that metadata may ask for: its largest matrix then has 67 MB."""

INDEX_FILE = "index.json"
"""What registers the files of ``weights/``."""
_PACKAGE = Path(__file__).parent
# In a wheel the weights lie inside the package, in a checkout beside it.
_FOLDERS = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")


@dataclass(frozen=True)
class Metadata:
    """What a file of weights, or anything exported from it, says of itself.

    Attributes:
        name: The weights' name.
        network: The network's hyper-parameters.
        classes: Emotions in the order of the outputs.
        temperature: Logits are divided by it before the softmax, so that a probability means
            something; every runtime applies it.
        geometry: How the pairs were made that the weights have learnt from.
        colour: Colour order and range of the inputs.
        training_data: What the weights were trained on, in a phrase.
        accuracy: Measured figures by name, each from 0 to 1.
        schema: Version of this layout.
    """

    name: str
    network: NetworkConfig = field(default_factory=NetworkConfig)
    classes: tuple[str, ...] = EMOTIONS
    temperature: float = 1.0
    geometry: Geometry = Geometry.SAMPLED
    colour: str = "RGB in [0, 1]"
    training_data: str = "unknown"
    accuracy: dict[str, float] = field(default_factory=dict)
    schema: int = SCHEMA

    def to_json(self) -> str:
        """Write as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str, source: Path) -> "Metadata":
        """Read what ``to_json`` wrote.

        Args:
            text: The JSON.
            source: The file it came from, for messages.

        Raises:
            CheckpointError: The text is not our metadata, or of another schema.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            if values["schema"] != SCHEMA:
                raise CheckpointError(
                    f"{source} has metadata of schema {values['schema']}, not {SCHEMA}",
                    "Use the version of glamor that wrote it, or write the file anew.",
                )
            known = {entry.name for entry in fields(cls)}
            values = {key: value for key, value in values.items() if key in known}
            network = dict(values["network"])
            network["encoder"] = Encoder(network["encoder"])
            network["variant"] = Variant(network["variant"])
            values["network"] = NetworkConfig(**network)
            _check_network(values["network"])
            values["classes"] = tuple(str(name) for name in values["classes"])
            values["geometry"] = Geometry(values.get("geometry", Geometry.SAMPLED))
            values["temperature"] = float(values["temperature"])
            metadata = cls(**values)
            if not 0 < metadata.temperature < math.inf:
                raise ValueError(f"temperature {metadata.temperature}")
            if len(metadata.classes) != metadata.network.classes:
                raise ValueError(
                    f"{len(metadata.classes)} class names for {metadata.network.classes} classes"
                )
            _check_classes(metadata.classes)
        except MALFORMED as error:
            raise CheckpointError(
                f"{source} carries metadata that glamor cannot read ({error})",
                "Use a file written by glamor train, import-checkpoint or export.",
            ) from error
        return metadata


def _check_classes(names: tuple[str, ...]) -> None:
    """Refuse names that answers and tables cannot tell apart or show."""
    if len(names) < 2:
        raise ValueError(f"{len(names)} classes")
    if len(set(names)) < len(names):
        raise ValueError("two classes of one name")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise ValueError(f"the class name {name!r}")


def _check_network(config: NetworkConfig) -> None:
    """Refuse sizes that no network of ours has, and that would take all memory to build."""
    for name in ("classes", "hidden"):
        size = getattr(config, name)
        if type(size) is not int or not 1 <= size <= _LARGEST_WIDTH:
            raise ValueError(f"{name} {size!r}")
    if isinstance(config.dropout, bool) or not 0 <= float(config.dropout) < 1:
        raise ValueError(f"dropout {config.dropout!r}")


@dataclass(frozen=True)
class RegisteredWeights:
    """An entry of ``weights/index.json``.

    Attributes:
        files: SHA-256 by the file's name.
        summary: What they are, in a phrase.
    """

    files: dict[str, str]
    summary: str


def registered() -> dict[str, RegisteredWeights]:
    """Read ``weights/index.json``, by the weights' names."""
    for folder in _FOLDERS:
        index = folder / INDEX_FILE
        if index.is_file():
            entries = json.loads(index.read_text(encoding="utf-8"))
            return {name: RegisteredWeights(**entry) for name, entry in entries.items()}
    return {}


def is_registered(path: Path) -> bool:
    """Say whether a file is one of ``weights/``, by its name and its bytes."""
    sums = {name: known for entry in registered().values() for name, known in entry.files.items()}
    return path.name in sums and path.is_file() and sha256(path) == sums[path.name]


def find_weights(
    name_or_path: str | Path, *, suffix: str = ".safetensors", exported: bool = True
) -> Path:
    """Find weights by registered name or by path.

    Args:
        name_or_path: A name from ``weights/``, or the path of a ``.safetensors``, ``.onnx`` or
            ``.engine`` file.
        suffix: Which of a registered name's files is wanted.
        exported: Whether the message is to advise exported files too.

    Raises:
        ConfigError: There is no such name or file; the message says where they were looked for.
    """
    path = Path(name_or_path)
    if path.suffix in _ENDINGS:
        if path.is_file():
            return path
        raise ConfigError(f"there is no file {path}", "Check the path.")
    for folder in _FOLDERS:
        candidate = folder / f"{name_or_path}{suffix}"
        if candidate.is_file():
            return candidate
    kinds = ".safetensors, .onnx or .engine" if exported else ".safetensors"
    remedy = (
        f"Give the path of a {kinds} file, or one of: "
        f"{', '.join(registered()) or 'none installed'}."
    )
    if path.is_dir():
        best = path / "best.safetensors"
        if best.is_file():
            remedy = f"Give {best}, the weights of that run."
        raise ConfigError(f"{path} is a folder, not a file of weights", remedy)
    if path.is_file():
        hint = " (in small letters)" if path.suffix.lower() in _ENDINGS else ""
        raise ConfigError(f"{path} does not end in {kinds}{hint}", remedy)
    raise ConfigError(
        f"no weights named {str(name_or_path)!r} in {' or '.join(str(f) for f in _FOLDERS)}",
        remedy,
    )


def read_metadata(path: str | Path) -> Metadata:
    """Read the metadata of a ``.safetensors`` file without its tensors.

    Raises:
        CheckpointError: The file is missing, damaged, or not glamor's.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        check_bounds(path, MAX_WEIGHTS_BYTES)
        with safe_open(path, framework="numpy") as handle:
            raw = handle.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _parse(raw, path)


def load_network(path: str | Path) -> "tuple[GlamorNet, Metadata]":
    """Read weights into a network in evaluation mode, float32, on the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, not glamor's, or its tensors do not fit its
            network.
    """
    from glamor_cli.network.glamor_net import GlamorNet

    path = Path(path)
    tensors, metadata = read_tensors(path)
    network = GlamorNet(metadata.network)
    fit_tensors(network, tensors, path)
    return network.eval(), metadata


def read_tensors(path: str | Path) -> "tuple[dict[str, Tensor], Metadata]":
    """Read all tensors of a ``.safetensors`` file, and its metadata.

    Raises:
        CheckpointError: The file is missing, damaged, or not glamor's.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        check_bounds(path, MAX_WEIGHTS_BYTES)
        with safe_open(path, framework="pt") as handle:
            raw = handle.metadata() or {}
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return tensors, _parse(raw, path)


def fit_tensors(network: "GlamorNet", tensors: "dict[str, Tensor]", source: Path) -> None:
    """Copy tensors into a network; names, shapes and finiteness must fit exactly.

    Raises:
        CheckpointError: Something does not fit; the message names the first tensor that does not.
    """
    check_tensors(network, tensors, source)
    network.load_state_dict(
        {name: tensors[name].to(value.dtype) for name, value in _stored(network).items()},
        strict=False,
    )


def check_tensors(network: "GlamorNet", tensors: "dict[str, Tensor]", source: Path) -> None:
    """Check that tensors are those of a network, by names, shapes and finiteness.

    Raises:
        CheckpointError: Something does not fit; the message names the first tensor that does not.
    """
    expected = _stored(network)
    remedy = f"These are not weights of the {network.config.encoder} network; check the file."
    for name, value in expected.items():
        if name not in tensors:
            raise CheckpointError(f"{source} lacks the tensor {name}", remedy)
        if tensors[name].shape != value.shape:
            found, wanted = tuple(tensors[name].shape), tuple(value.shape)
            raise CheckpointError(f"{source}: {name} has shape {found}, not {wanted}", remedy)
        if not tensors[name].isfinite().all():
            raise CheckpointError(
                f"{source}: {name} holds values that are not finite",
                "The training diverged or the file is damaged; use another checkpoint.",
            )
    for name in tensors:
        if name not in expected:
            raise CheckpointError(f"{source} has an unexpected tensor: {name}", remedy)


def _stored(network: "GlamorNet") -> "dict[str, Tensor]":
    """Give the tensors that a file of weights holds."""
    state = network.state_dict()
    return {name: state[name] for name in state if not name.endswith("num_batches_tracked")}


def save_network(
    path: str | Path, network: "GlamorNet", metadata: Metadata, *, half: bool = False
) -> None:
    """Write a network's tensors and metadata atomically.

    Args:
        path: The ``.safetensors`` file.
        network: Its configuration must be the metadata's.
        metadata: What the file says of itself.
        half: Store in float16, half the size; reading gives float32 again.

    Raises:
        ConfigError: The folder cannot be written to, the metadata is of another network, or what
            was written would be refused when it is read: class names, the temperature, tensors
            that are not finite or do not fit the configuration.
    """
    import torch

    from glamor_cli.network.glamor_net import GlamorNet

    path = Path(path)
    if metadata.network != network.config:
        raise ConfigError(
            f"the metadata describes {metadata.network}, but the network is {network.config}",
            "Write the network with metadata made from its own configuration.",
        )
    tensors = {
        name: (value.half() if half else value.float()).cpu().contiguous()
        for name, value in _stored(network).items()
    }
    with _refuse_early("Give different class names, a temperature above 0 and plain numbers."):
        text = metadata.to_json()
        Metadata.from_json(text, path)
    with _refuse_early("Save a network as GlamorNet builds it, with finite values only."):
        with torch.device("meta"):  # shapes alone: nothing is filled, nor drawn at random
            built = GlamorNet(metadata.network)
        check_tensors(built, tensors, path)
    with atomic_path(path) as temporary:
        write_tensors(temporary, tensors, {METADATA_KEY: text}, of=path)


@contextmanager
def _refuse_early(remedy: str) -> Iterator[None]:
    """Let what reading would refuse be refused before it is written."""
    try:
        yield
    except CheckpointError as error:
        raise ConfigError(f"{error.what}, so it is not written", remedy) from error
    except (TypeError, ValueError) as error:  # what JSON does not know
        raise ConfigError(f"the metadata cannot be written as JSON ({error})", remedy) from error


def sha256(path: Path) -> str:
    """Hash a file, as ``weights/index.json`` and engines' sidecars record it."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _parse(raw: dict[str, str], path: Path) -> Metadata:
    """Take our metadata out of a file's."""
    if CHECKPOINT_KEY in raw:
        raise CheckpointError(
            f"{path} is what a training goes on from, not the weights it chose",
            "Use best.safetensors beside it; the training goes on with glamor train --resume.",
        )
    if METADATA_KEY not in raw:
        raise CheckpointError(
            f"{path} was not written by glamor: it has no metadata of ours",
            "Use weights from glamor train, or glamor import-checkpoint for the authors'.",
        )
    return Metadata.from_json(raw[METADATA_KEY], path)


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"there is no file {path}", "Check the path.")
    return CheckpointError(
        f"{path} cannot be read as safetensors ({error})",
        "The file is damaged or of another kind; copy or make it anew.",
    )
