"""Seeing in gray: tie an encoder's first convolution to the brightness of its input."""

import torch
from torch import nn

LUMA = (0.299, 0.587, 0.114)
"""How much red, green and blue weigh in the brightness (ITU-R BT.601, as Pillow's mode L)."""


@torch.no_grad()
def see_in_gray(encoder: nn.Module) -> None:
    """Let an encoder that has learnt from gray pictures see nothing but brightness.

    With three equal channels only the sum of a kernel over its input channels counts, so that sum
    is all that gray pictures teach. Shared out by the luma weights it gives gray pictures the same
    answer as before, and a colour picture the answer of its gray copy.

    Args:
        encoder: Changed in place; its first convolution reads RGB.
    """
    first = next(module for module in encoder.modules() if isinstance(module, nn.Conv2d))
    luma = first.weight.new_tensor(LUMA)[None, :, None, None]
    first.weight.copy_(first.weight.sum(dim=1, keepdim=True) * luma)
