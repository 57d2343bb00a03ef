"""Layers that see a whole batch as one although several processes share it.

A batch norm's statistics and a dropout's mask are those of the whole batch, so that any number of
processes computes what one would. (torch's own ``SyncBatchNorm`` runs on GPUs only.)
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glamor_cli.data.draws import Part
from glamor_cli.network.attention import BiasedVarianceNorm
from glamor_cli.training.world import World, sum_over_processes


@dataclass
class SharedBatch:
    """What the layers know of the batch in progress.

    Attributes:
        world: The processes that share it.
        part: The rows that are here; set before each step.
    """

    world: World
    part: Part


def share_batches(network: nn.Module, world: World) -> SharedBatch:
    """Replace batch norms and dropouts; parameters and statistics keep their names and values.

    Returns:
        What has to be told the part of every step.
    """
    batch = SharedBatch(world, Part.of(1))
    _replace(network, batch)
    return batch


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all processes.

    Each process gives the count, the mean and the sum of squared distances of its own values, and
    all put the same whole together (Chan, Golub and LeVeque 1979, for parts of any size).
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm, batch: SharedBatch) -> None:
        super().__init__(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.unbiased = not isinstance(norm, BiasedVarianceNorm)
        self.batch = batch

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch names it
        """Take (N, C) as well as (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C) or (N, C, H, W), of which other processes hold other rows."""
        if not self.training:
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        count, mean, variance = self._statistics(values)
        self._move_average(count, mean.detach(), variance.detach())
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        # The mean is taken off first: folded into one shift it would cost digits.
        normed = (values - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normed.to(x.dtype)

    def _statistics(self, values: Tensor) -> tuple[float, Tensor, Tensor]:
        """Count, mean and biased variance of all processes' values, by channel."""
        axes = [axis for axis in range(values.ndim) if axis != 1]
        variance, mean = torch.var_mean(values, axes, correction=0)
        own = 0 if self.batch.part.idle else values.numel() // values.shape[1]
        # A row for each process, filled here and added up: one exchange instead of three.
        rank, size = self.batch.world.rank, self.batch.world.size
        mine = torch.stack((torch.full_like(mean, own), mean * own, variance * own))
        parts = sum_over_processes(F.pad(mine[None], (0, 0, 0, 0, rank, size - 1 - rank)))
        counts, sums, squares = parts.unbind(1)  # (size, C) each
        count = counts.sum(0)
        whole = sums.sum(0) / count
        apart = counts * (sums / counts.clamp(min=1) - whole) ** 2
        return float(count[0].detach()), whole, (squares + apart).sum(0) / count

    @torch.no_grad()
    def _move_average(self, count: float, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        if self.unbiased:
            variance = variance * (count / max(count - 1, 1))
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None and self.unbiased:
            self.num_batches_tracked.add_(1)


class SharedDropout(nn.Dropout):
    """Dropout that draws for the rows of all processes and drops its own."""

    def __init__(self, share: float, batch: SharedBatch) -> None:
        super().__init__(share)
        self.batch = batch

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of (N, C)."""
        if not self.training:
            return x
        whole = x.new_ones(self.batch.part.count, *x.shape[1:])
        return x * F.dropout(whole, self.p)[self.batch.part.rows]


def _replace(module: nn.Module, batch: SharedBatch) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, SharedNorm(child, batch))
        elif isinstance(child, nn.Dropout):
            setattr(module, name, SharedDropout(child.p, batch))
        else:
            _replace(child, batch)
