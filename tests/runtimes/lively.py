"""A network in which every part counts, and pairs of noise for it."""

import numpy as np
import torch

from glamor_cli.network.config import NetworkConfig
from glamor_cli.network.glamor_net import GlamorNet

TEMPERATURE = 1.7


def lively_network(config: NetworkConfig, seed: int = 0) -> GlamorNet:
    """A fresh network whose batch norms do something, so that ignoring one would show."""
    torch.manual_seed(seed)
    network = GlamorNet(config).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            torch.nn.init.uniform_(module.weight, 0.7, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    torch.nn.init.normal_(network.classifier.logits.weight, 0, 1)
    if network.attention is not None:
        torch.nn.init.normal_(network.attention.score.weight, 0, 1)
    return network


def inputs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return (
        generator.random((count, 3, 96, 96), dtype=np.float32),
        generator.random((count, 3, 112, 112), dtype=np.float32),
    )
