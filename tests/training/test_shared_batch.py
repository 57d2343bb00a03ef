"""The layers that processes share, as one process sees them."""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from glamor_cli.training.shared_batch import share_batches
from glamor_cli.training.world import World


class NormBackwards(TorchDispatchMode):
    """Keeps what the batch norm's backward kernel is given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.native_batch_norm_backward.default:
            self.given.append(args)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(6, 4, 5, 5), (12, 4)])
def test_a_shared_norm_gives_cudas_backward_kernel_all_it_insists_on(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPUs take None for the kept statistics, and CUDA ends the training at its first step."""
    # The sum over one process.
    monkeypatch.setattr(dist, "all_reduce", lambda values: None)
    plain = nn.BatchNorm2d(4) if len(shape) == 4 else nn.BatchNorm1d(4)
    nn.init.uniform_(plain.weight)
    shared = nn.Sequential(type(plain)(4))
    shared[0].load_state_dict(plain.state_dict())
    share_batches(shared, World(torch.device("cpu")))
    x = torch.randn(shape)
    if x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    weights = torch.randn(shape)

    with NormBackwards() as kernel:
        (shared(ours) * weights).sum().backward()
    (plain(theirs) * weights).sum().backward()

    (given,) = kernel.given
    save_mean, save_invstd, train = given[5:8]
    assert not train
    # Empty, so that the kernel takes the running statistics.
    assert save_mean.shape == save_invstd.shape == (0,)
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(shared[0].weight.grad, plain.weight.grad)
    torch.testing.assert_close(shared[0].bias.grad, plain.bias.grad)
