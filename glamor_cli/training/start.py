"""How a run's network is made ready: other weights taken over, norms and the face encoder set."""

from pathlib import Path

import torch

from glamor_cli.errors import ConfigError
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.training.recipes import Recipe
from glamor_cli.weights import read_tensors

_CLASSIFIER = "classifier.hidden.weight"  # (hidden, C) for one stream, (hidden, 2 C) for both
_OUTPUT = "classifier.logits."
_ENCODERS = ("face_encoder.", "context_encoder.")


def take_over(network: GlamorNet, weights: Path, classes: tuple[str, ...]) -> None:
    """Start from other weights, as far as names and shapes agree.

    A face-only network's classifier becomes the face's half of a whole network's; the context's
    half is zero then, so that training begins with the answers of the face alone. The output layer
    of weights for other emotions, or for the same in another order, is left out.

    Args:
        network: Is changed.
        weights: A ``.safetensors`` file.
        classes: Emotions in the order of the network's outputs.

    Raises:
        ConfigError: No encoder of theirs fits.
        CheckpointError: The file is damaged or foreign.
    """
    tensors, metadata = read_tensors(weights)
    own = network.state_dict()
    narrow, wide = tensors.get(_CLASSIFIER), own[_CLASSIFIER]
    if narrow is not None and 2 * narrow.shape[1] == wide.shape[1]:
        tensors[_CLASSIFIER] = torch.cat((narrow, torch.zeros_like(narrow)), dim=1)
    fitting = {
        name: value
        for name, value in tensors.items()
        if name in own and own[name].shape == value.shape
        if metadata.classes == classes or not name.startswith(_OUTPUT)
    }
    if not any(name.startswith(_ENCODERS) for name in fitting):
        raise ConfigError(
            f"no encoder of {weights} fits the network",
            f"Its encoders are {metadata.network.encoder}, its variant {metadata.network.variant}: "
            "start from weights of the same encoder.",
        )
    network.load_state_dict(fitting, strict=False)


def set_norm_momentum(network: torch.nn.Module, recipe: Recipe) -> None:
    """Give the batch norms the recipe's momentum, where it has one."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and recipe.norm_momentum:
            module.momentum = recipe.norm_momentum


def freeze_face(network: GlamorNet) -> None:
    """Keep the face encoder's parameters as they are.

    Raises:
        ConfigError: The network has no face encoder.
    """
    if network.face_encoder is None:
        raise ConfigError(
            f"the recipe freezes the face encoder, and {network.config.variant} has none",
            "Choose a variant with a face.",
        )
    network.face_encoder.requires_grad_(False)
