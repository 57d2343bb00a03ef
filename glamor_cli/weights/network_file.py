"""Networks in ``.safetensors`` files; no pickle is ever read or written.

Torch is imported only by the functions that make a network, so that ``predict`` can describe
weights without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.files.atomic import atomic_path
from glamor_cli.files.tensor_files import check_bounds, write_tensors
from glamor_cli.files.utf8_paths import utf8_path
from glamor_cli.weights.metadata import METADATA_KEY, Metadata, take_metadata

if TYPE_CHECKING:
    from torch import Tensor

    from glamor_cli.network.config import NetworkConfig
    from glamor_cli.network.glamor_net import GlamorNet

MAX_WEIGHTS_BYTES = 512 * 2**20
"""A larger file of weights is refused; ResNet-18's has 92 MB in float32."""


def read_metadata(path: str | Path) -> Metadata:
    """Read the metadata of a ``.safetensors`` file without its tensors.

    Raises:
        CheckpointError: The file is missing, damaged, or not glamor's.
    """
    path = Path(path)
    with _opened(path, "numpy") as handle:
        raw = handle.metadata() or {}
    return take_metadata(raw, path)


def load_network(path: str | Path) -> "tuple[GlamorNet, Metadata]":
    """Read weights into a network in evaluation mode, float32, on the CPU.

    Raises:
        CheckpointError: The file is missing, damaged, not glamor's, or its tensors do not fit its
            network.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    network = blank_network(metadata.network)
    fit_tensors(network, tensors, path)
    return network.eval(), metadata


def blank_network(config: "NetworkConfig") -> "GlamorNet":
    """Make a network whose tensors are yet to come; torch's generator stays where it is."""
    import torch

    from glamor_cli.network.glamor_net import GlamorNet

    with torch.random.fork_rng([]):
        # A program around may have new tensors made of another kind.
        return GlamorNet(config).float()


def read_tensors(path: str | Path) -> "tuple[dict[str, Tensor], Metadata]":
    """Read all tensors of a ``.safetensors`` file, and its metadata.

    Raises:
        CheckpointError: The file is missing, damaged, or not glamor's.
    """
    path = Path(path)
    with _opened(path, "pt") as handle:
        raw = handle.metadata() or {}
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    return tensors, take_metadata(raw, path)


@contextmanager
def _opened(path: Path, framework: str) -> Iterator[Any]:
    """Open a ``.safetensors`` file of a bounded size.

    Raises:
        CheckpointError: It is missing or damaged, which may also be found in the block.
    """
    from safetensors import SafetensorError, safe_open

    try:
        check_bounds(path, MAX_WEIGHTS_BYTES)
        with utf8_path(path) as readable, safe_open(readable, framework=framework) as handle:
            yield handle
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


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


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        return CheckpointError(f"there is no file {path}", "Check the path.")
    return CheckpointError(
        f"{path} cannot be read as safetensors ({error})",
        "The file is damaged or of another kind; copy it or make it again.",
    )
