"""How a run's network begins: its initial weights, its norms, and the face encoder kept still."""

from dataclasses import replace
from pathlib import Path

import torch

from glamor_cli.errors import ConfigError
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.gray import see_in_gray
from glamor_cli.training.config import TrainConfig
from glamor_cli.training.keras_init import initialise_like_keras
from glamor_cli.training.recipes import Optimizer, Recipe
from glamor_cli.weights.network_file import read_tensors

_CLASSIFIER = "classifier.hidden.weight"  # (hidden, C) for one stream, (hidden, 2 C) for both
_OUTPUT = "classifier.logits."
_FACE_ENCODER = "face_encoder."
_ENCODERS = (_FACE_ENCODER, "context_encoder.")


def make_network(config: TrainConfig, classes: tuple[str, ...]) -> GlamorNet:
    """Make a run's network as it is before the first step; it lies on the CPU.

    Seeds torch's generator: the same settings give the same weights.

    Args:
        config: The run.
        classes: Emotions in the order of the network's outputs.

    Raises:
        ConfigError: The initial weights do not fit, or there is no trained face encoder to freeze.
        CheckpointError: The initial weights are damaged or foreign.
    """
    recipe = config.recipe
    torch.manual_seed(config.seed)
    dropout = config.network.dropout if recipe.dropout is None else recipe.dropout
    network = GlamorNet(replace(config.network, dropout=dropout))
    if recipe.optimizer is Optimizer.KERAS_SGD:
        initialise_like_keras(network)
    taken = frozenset[str]()
    if config.initial_weights is not None:
        taken = load_initial_weights(network, config.initial_weights, classes)
    set_norm_momentum(network, recipe)
    if recipe.freeze_face:
        freeze_face(network, config, taken)
    return network


def load_initial_weights(
    network: GlamorNet, weights: Path, classes: tuple[str, ...]
) -> frozenset[str]:
    """Start from other weights, as far as names and shapes agree.

    The classifier of a network of one stream becomes that stream's half of a whole network's; the
    other half is zero then, so that training begins with the answers of that stream alone. And a
    network of one stream takes that stream's half of a whole network's. The output layer of weights
    for other emotions, or for the same in another order, is left out.

    Args:
        network: Is changed.
        weights: A ``.safetensors`` file.
        classes: Emotions in the order of the network's outputs.

    Returns:
        The names of the tensors that were taken over.

    Raises:
        ConfigError: No encoder of theirs fits.
        CheckpointError: The file is damaged or foreign.
    """
    tensors, metadata = read_tensors(weights)
    own = network.state_dict()
    theirs, width = tensors.get(_CLASSIFIER), own[_CLASSIFIER].shape[1]
    if theirs is not None and 2 * theirs.shape[1] == width:
        none = torch.zeros_like(theirs)
        halves = (theirs, none) if metadata.network.variant.has_face else (none, theirs)
        tensors[_CLASSIFIER] = torch.cat(halves, dim=1)
    elif theirs is not None and theirs.shape[1] == 2 * width:
        has_face = network.config.variant.has_face
        tensors[_CLASSIFIER] = theirs[:, :width] if has_face else theirs[:, width:]
    fitting = {
        name: value
        for name, value in tensors.items()
        if name in own and own[name].shape == value.shape
        if metadata.classes == classes or not name.startswith(_OUTPUT)
    }
    if not any(name.startswith(_ENCODERS) for name in fitting):
        raise ConfigError(
            f"no encoder of {weights} fits this network",
            f"Its encoders are {metadata.network.encoder}, its variant {metadata.network.variant}: "
            "start from weights of the same encoder.",
        )
    network.load_state_dict(fitting, strict=False)
    return frozenset(fitting)


def set_norm_momentum(network: torch.nn.Module, recipe: Recipe) -> None:
    """Give the batch norms the recipe's momentum, where it has one."""
    if recipe.norm_momentum is None:
        return
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = recipe.norm_momentum


def freeze_face(network: GlamorNet, config: TrainConfig, taken: frozenset[str]) -> None:
    """Keep the face encoder's parameters as they are, tied to the brightness where that is asked.

    Args:
        network: Is changed.
        config: The run.
        taken: The names of the tensors that were taken from other weights.

    Raises:
        ConfigError: The network has no face encoder, or one that has learnt nothing.
    """
    if network.face_encoder is None:
        raise ConfigError(
            f"the recipe freezes the face encoder, which {network.config.variant} does not have",
            "Choose a variant with a face.",
        )
    if not any(name.startswith(_FACE_ENCODER) for name in taken):
        raise ConfigError(
            f"the recipe {config.recipe.name} does not train the face encoder, "
            "which has learnt nothing yet",
            "Give weights of a trained face encoder with --init.",
        )
    if config.recipe.see_in_gray:
        # Now and not when it is judged: the rest is to learn from the encoder that it will have.
        see_in_gray(network.face_encoder)
    network.face_encoder.requires_grad_(False)
