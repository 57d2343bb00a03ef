"""Average the parameters of two trained networks.

One was trained on from the other: so they lie in one basin, where the mean is often the best.

    uv run python weights/making/mean_weights.py OUT FIRST SECOND [--share 0.5]

FIRST and SECOND are folders of trainings, or of means, or names of registered weights, or SECOND is
a training's ``last.safetensors``, of which the moving average is taken. OUT becomes a folder of a
mean: ``best.safetensors`` and, for the card, ``mean.json`` with what it was made of. The source is
Wortsman et al., Model soups (arXiv 2203.05482).
"""

import argparse
import copy
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from glamor_cli.files.atomic import write_text
from glamor_cli.network.config import NetworkConfig
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.gray import see_in_gray
from glamor_cli.training.checkpoints import AVERAGE, LAST
from glamor_cli.training.config import BEST
from glamor_cli.training.start import load_initial_weights
from glamor_cli.weights.metadata import join_learnt
from glamor_cli.weights.network_file import load_network, read_metadata, save_network
from glamor_cli.weights.registry import find_weights

MEAN = "mean.json"


def main() -> None:
    """Average, and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the second network")
    asked = parser.parse_args()

    network, metadata = load_network(_weights(asked.first))
    parameters = _parameters(asked.second, network.config, metadata.classes)
    state = network.state_dict()
    averaged = {name for name, value in state.items() if value.is_floating_point()}
    if averaged - parameters.keys():
        parser.error(f"{asked.second} is no such network as {asked.first}: nothing may be missing")
    gray = _sees_in_gray(network)
    with torch.no_grad():
        for name in averaged:
            state[name].lerp_(parameters[name], asked.share)
    if gray:
        # A training ties its moving average where it judges it, and not in its checkpoint.
        see_in_gray(network.face_encoder)
    asked.out.mkdir(parents=True, exist_ok=True)
    second = asked.second.parent if asked.second.name == LAST else asked.second
    other = read_metadata(_weights(second))
    learnt_from, learnt_all = join_learnt((metadata, other))
    # What one of them reached, or how sure it is, says nothing of the mean.
    metadata = replace(
        metadata,
        accuracy={},
        temperature=1.0,
        learnt_from=learnt_from,
        learnt_all=learnt_all,
        chosen_by=metadata.chosen_by if metadata.chosen_by == other.chosen_by else None,
    )
    save_network(asked.out / BEST, network, metadata)
    made_of = {"first": str(asked.first), "second": str(asked.second), "share": asked.share}
    write_text(asked.out / MEAN, json.dumps(made_of) + "\n")


def _sees_in_gray(network: GlamorNet) -> bool:
    """Tell whether the face encoder's answers depend on the brightness alone."""
    if network.face_encoder is None:
        return False
    tied = copy.deepcopy(network.face_encoder)
    see_in_gray(tied)
    ours, theirs = (next(encoder.parameters()) for encoder in (network.face_encoder, tied))
    return torch.allclose(ours, theirs, atol=1e-6)


def _weights(source: Path) -> Path:
    """Find the weights of a folder, or registered ones."""
    return source / BEST if source.is_dir() else find_weights(str(source))


def _parameters(
    source: Path, config: NetworkConfig, classes: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """Read what fits such a network; of a whole one, what a network of one stream has of it."""
    if source.name != LAST:
        network = GlamorNet(config)
        taken = load_initial_weights(network, _weights(source), classes)
        return {name: value for name, value in network.state_dict().items() if name in taken}
    return {
        name.removeprefix(AVERAGE): value
        for name, value in load_file(source).items()
        if name.startswith(AVERAGE)
    }


if __name__ == "__main__":
    main()
