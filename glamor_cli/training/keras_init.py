"""The authors' initial weights: Keras's defaults, since their program names no others."""

from torch import nn


def initialise_like_keras(network: nn.Module) -> None:
    """Draw every kernel from Glorot's uniform distribution and set every bias to zero.

    Batch norms begin as PyTorch has them, which is as Keras has them. The numbers come from
    PyTorch's global generator.

    Args:
        network: Changed in place.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
