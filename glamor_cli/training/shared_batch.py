"""A batch that several processes share: layers that see it as one, and the gradients of it all.

A batch norm's statistics and a dropout's mask are those of the whole batch, so that any number of
processes computes what one would. (torch's own ``SyncBatchNorm`` runs on GPUs only.)
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from glamor_cli.data.batches.draws import Part
from glamor_cli.network.attention import BiasedVarianceNorm
from glamor_cli.training.world import World


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


def sum_gradients(network: nn.Module) -> nn.Module:
    """Sum the gradients of all processes while they are still being computed.

    The batch norms' statistics are the same in all of them already.
    """
    # torch 2.11 knows the older name alone, and newer ones warn of it.
    known = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    share: Callable[..., nn.Module] = DistributedDataParallel
    return share(network, **{name: False})


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the rows of all processes.

    Each process gives the count, the mean and the variance of its own values, and all put the same
    whole together (Chan, Golub and LeVeque 1979, for parts of any size).
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
        whole = self._statistics(x.detach())
        self._move_average(whole)
        normed: Tensor = _Normalise.apply(x, self.weight, self.bias, whole)
        return normed

    def _statistics(self, x: Tensor) -> "_Whole":
        """Put together the statistics of all processes' values."""
        # At least float32, also under autocast: half precision loses the small variances.
        dtype = torch.promote_types(x.dtype, torch.float32)
        # torch's batch norm's own statistics: var_mean takes far longer on channels last.
        mean, variance = torch.batch_norm_update_stats(x.to(dtype), None, None, 0.0)
        idle, world = self.batch.part.idle, self.batch.world
        own = 0 if idle else x.numel() // x.shape[1]
        # A row for each process, filled here and added up: one exchange instead of three.
        parts = mean.new_zeros(world.size, 3, len(mean), dtype=torch.float64)
        parts[world.rank] = torch.stack((torch.full_like(mean, own), mean, variance))
        dist.all_reduce(parts)
        counts, means, variances = parts.unbind(1)  # (size, C) each
        total = counts[:, 0].sum()  # stays on the device: asking for it would stop the GPU's queue
        shares = counts / total
        centre = (shares * means).sum(0)
        spread = (shares * (variances + (means - centre) ** 2)).sum(0)
        return _Whole(total, centre.to(dtype), spread.to(dtype), self.eps, idle)

    @torch.no_grad()
    def _move_average(self, whole: "_Whole") -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        variance = whole.variance
        if self.unbiased:
            variance = variance * (whole.total / (whole.total - 1).clamp(min=1)).to(variance.dtype)
        self.running_mean.lerp_(whole.mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None and self.unbiased:
            self.num_batches_tracked.add_(1)


class _Whole(NamedTuple):
    """What a norm needs to know of the whole batch.

    Attributes:
        total: Values in each channel, float64 ().
        mean: (C).
        variance: Biased, (C).
        eps: The norm's.
        idle: Whether the values here do not belong to it.
    """

    total: Tensor
    mean: Tensor
    variance: Tensor
    eps: float
    idle: bool


class _Normalise(torch.autograd.Function):
    """Normalise by the whole batch's statistics, which depend on every process's values.

    Written out because torch's own kernels then do the passes over the values, and nothing as
    large as these is kept but themselves.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, whole: _Whole) -> Tensor:
        mean, variance = whole.mean, whole.variance
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.total, ctx.eps, ctx.idle = whole.total, whole.eps, whole.idle
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=whole.eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Follow Ioffe and Szegedy (2015), section 3, with sums over all processes.

        The parameters' gradients are those of the values here, as everywhere else in the network.
        """
        x, weight, mean, variance = ctx.saved_tensors
        (gradient,) = gradients
        # What torch keeps of its own forward pass: CUDA's kernel takes nothing there only as empty.
        kept = mean.new_empty(0)
        # As if the statistics were constants; it gives the two sums that the rest needs as well.
        by_x, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient,
            x,
            weight,
            mean,
            variance,
            kept,
            kept,
            False,
            ctx.eps,
            [True, True, True],
        )
        sums = torch.stack((by_bias, by_weight)).double()
        dist.all_reduce(sums)
        if ctx.idle:
            return by_x, by_weight, by_bias, None
        every_bias, every_weight = (sums / ctx.total).to(mean.dtype).unbind(0)
        scale = torch.rsqrt(variance + ctx.eps)
        slope = -weight * scale * scale * every_weight
        offset = -weight * scale * every_bias - slope * mean
        shape = (1, -1, *(1 for _ in x.shape[2:]))
        by_x = by_x + torch.addcmul(offset.view(shape), x, slope.view(shape)).to(by_x.dtype)
        return by_x, by_weight, by_bias, None


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
