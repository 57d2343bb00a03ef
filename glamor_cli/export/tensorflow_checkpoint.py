"""The authors' TensorFlow checkpoint becomes our weights.

What it looks like is in docs/official-program.md, Checkpoint.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.tensor_bundle import TensorBundle
from glamor_cli.network.config import NetworkConfig
from glamor_cli.network.encoders import FILTERS
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.vision.geometry import Geometry
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import blank_network, fit_tensors, save_network

_KEY = "{}/.ATTRIBUTES/VARIABLE_VALUE"
_ENCODERS = {"FaceEncodingNet": "face_encoder", "ContextEncodingNet": "context_encoder"}
_DENSE_PARTS = {"kernel": "weight", "bias": "bias"}
_NORM_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_DENSE_LAYERS = {
    "attention_fc1": "attention.hidden",
    "attention_fc2": "attention.score",
    "face_weight1": "fusion.face.0",
    "face_weight2": "fusion.face.2",
    "context_weight1": "fusion.context.0",
    "context_weight2": "fusion.context.2",
    "final_fc1": "classifier.hidden",
    "final_classify": "classifier.logits",
}


def _variable_names() -> dict[str, str]:
    layers = [(theirs, ours, _DENSE_PARTS) for theirs, ours in _DENSE_LAYERS.items()]
    layers.append(("attention_fc1_bn", "attention.norm", _NORM_PARTS))
    for theirs, ours in _ENCODERS.items():
        for block in range(len(FILTERS)):
            place = f"{theirs}/blocks/{block}", f"{ours}.blocks.{block}"
            layers.append((f"{place[0]}/conv", f"{place[1]}.conv", _DENSE_PARTS))
            layers.append((f"{place[0]}/bn", f"{place[1]}.norm", _NORM_PARTS))
    return {
        f"{theirs}/{part}": f"{ours}.{name}"
        for theirs, ours, parts in layers
        for part, name in parts.items()
    }


VARIABLE_NAMES = _variable_names()
"""The authors' names of the original network's 80 variables, and ours."""


def import_checkpoint(prefix: str | Path, out: str | Path) -> Metadata:
    """Make weights of a checkpoint of the authors' program.

    Nothing is taken on trust: the checksums of the index and of every variable, their names, types
    and shapes, and that all values are finite. What TensorFlow keeps beside the variables (its
    object graph, counters, an optimiser's state) is not read.

    Args:
        prefix: What the checkpoint's file names begin with: ``path/to/Model``.
        out: The ``.safetensors`` file to write.

    Returns:
        What was written into the file.

    Raises:
        CheckpointError: The checkpoint is damaged, incomplete, or not GLAMOR-Net's.
        ConfigError: ``out`` does not end in ``.safetensors``, or cannot be written.
    """
    prefix, out = Path(prefix), Path(out)
    if out.suffix != ".safetensors":
        raise ConfigError(
            f"weights are written as .safetensors, not as {out.name or out}",
            f"Give {out.stem.strip('.') or 'weights'}.safetensors instead.",
        )
    network = blank_network(NetworkConfig())
    variables = _read_variables(TensorBundle.open(prefix), network)
    fit_tensors(network, convert_variables(variables), prefix)
    metadata = Metadata(
        name=out.stem,
        network=network.config,
        geometry=Geometry.OFFICIAL_JPEG,
        training_data="imported from the authors' checkpoint",
    )
    save_network(out, network, metadata)
    return metadata


def convert_variables(variables: Mapping[str, NDArray[np.floating]]) -> dict[str, Tensor]:
    """Rename the authors' variables and turn them to PyTorch's layout.

    Args:
        variables: By the authors' names: convolution kernels (height, width, in, out), dense
            kernels (in, out), vectors.

    Returns:
        By our names: convolution weights (out, in, height, width), dense weights (out, in),
        vectors; the types are kept.
    """
    return {
        VARIABLE_NAMES[name]: torch.from_numpy(_to_torch(values).copy())
        for name, values in variables.items()
    }


def _read_variables(bundle: TensorBundle, network: GlamorNet) -> dict[str, NDArray[np.float32]]:
    state = network.state_dict()
    foreign = next((key for key in bundle.entries if not _is_known(key)), None)
    for theirs in VARIABLE_NAMES:
        if _KEY.format(theirs) not in bundle.entries:
            raise _not_ours(bundle.prefix, f"lacks the variable {theirs}", foreign)
    if foreign is not None:
        raise _not_ours(bundle.prefix, "is of another network", foreign)
    return {
        theirs: bundle.read(_KEY.format(theirs), _tensorflow_shape(state[ours]))
        for theirs, ours in VARIABLE_NAMES.items()
    }


def _is_known(key: str) -> bool:
    """Tell whether a key is one of the network's, or TensorFlow's own book-keeping."""
    return (
        key.removesuffix(_KEY.format("")) in VARIABLE_NAMES
        or key in ("_CHECKPOINTABLE_OBJECT_GRAPH", _KEY.format("save_counter"))
        or key.startswith(("optimizer/", "keras_api/"))
        or "/.OPTIMIZER_SLOT/" in key
    )


def _not_ours(prefix: Path, what: str, foreign: str | None) -> CheckpointError:
    has = "" if foreign is None else f" and has {foreign[:200]!a}"
    return CheckpointError(
        f"{prefix} {what}{has}",
        "Only checkpoints of the authors' original network can be imported.",
    )


def _to_torch(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """HWIO to OIHW, (in, out) to (out, in), vectors as they are."""
    return values.transpose(3, 2, 0, 1) if values.ndim == 4 else values.T


def _tensorflow_shape(tensor: Tensor) -> tuple[int, ...]:
    shape = tuple(tensor.shape)
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else shape[::-1]
