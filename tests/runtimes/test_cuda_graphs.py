"""Torch on CUDA: launches are recorded by batch size, and the answers stay the CPU's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lively import inputs, lively_network

from glamor_cli.errors import BackendUnavailable
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.network.fused_core import fused_core_problem
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.cuda_graphs import recorded_size
from glamor_cli.runtimes.interface import max_abs_diff
from glamor_cli.runtimes.options import TorchPrecision
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import save_network


def test_recorded_sizes_cover_every_batch_with_a_third_idle_at_most() -> None:
    for batch in range(1, 700):
        size = recorded_size(batch)
        assert batch <= size
        assert (size - batch) / size <= 1 / 3
    assert recorded_size(33) == 48
    assert recorded_size(600) == 600


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    ("precision", "atol"),
    [(TorchPrecision.FP32, 1e-4), (TorchPrecision.FP16, 1e-2), (TorchPrecision.BF16, 5e-2)],
)
def test_torch_on_cuda_agrees_with_the_cpu(
    files: dict[str, Path], precision: TorchPrecision, atol: float
) -> None:
    runtime = TorchRuntime(files[".safetensors"], device="cuda", precision=precision)
    assert runtime.core.startswith("fused") or fused_core_problem() is not None, runtime.core
    reference = open_runtime(files[".safetensors"], device="cpu")
    kept = []
    # Sizes of their own graph, sizes inside a larger one, more of them than are kept, and again.
    for batch in (5, 1, 2, 33, 3, 4, 8, 12, 24, 16, 7, 5):
        face, context = inputs(batch, seed=batch)
        expected, output = reference(face, context), runtime(face, context)
        kept.append((expected, output))
    # What an earlier batch left in a graph's memory is written over, and never read.
    pair = inputs(5, seed=5)
    for values in pair:
        values.fill(np.inf)
    runtime._run(*pair)  # a call would refuse these
    pair = inputs(5, seed=6)
    kept.append((reference(*pair), runtime(*pair)))
    for expected, output in kept:
        assert max_abs_diff(output, expected) <= atol


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("variant", Variant)
def test_every_variant_is_recorded_on_cuda_and_agrees_with_the_cpu(
    tmp_path: Path, variant: Variant
) -> None:
    path = tmp_path / "variant.safetensors"
    network = lively_network(NetworkConfig(variant=variant))
    save_network(path, network, Metadata("variant", network=network.config))
    runtime = TorchRuntime(path, device="cuda")
    assert runtime._graphed is not None
    pairs = inputs(3)
    assert max_abs_diff(runtime(*pairs), open_runtime(path, device="cpu")(*pairs)) < 1e-4


def test_a_size_that_cannot_be_recorded_is_launched_and_no_memory_is_told(
    files: dict[str, Path],
) -> None:
    """The recordings are stood in for, because only a GPU has them."""
    runtime = TorchRuntime(files[".safetensors"], device="cpu")
    pair = inputs(3)
    expected = runtime(*pair)

    def refuse(*_: object) -> None:
        raise RuntimeError("capture was invalidated")

    runtime._graphed = refuse
    np.testing.assert_array_equal(runtime(*pair).probabilities, expected.probabilities)
    assert "not recorded: RuntimeError: capture was invalidated" in runtime.core
    assert runtime._graphed is None, "it is not tried for every batch"

    def exhaust(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    runtime._graphed = exhaust
    with pytest.raises(BackendUnavailable, match="no memory left for a batch of 3"):
        runtime(*pair)


def test_a_layout_that_fails_at_a_larger_batch_gives_way_to_the_plain_modules(
    files: dict[str, Path],
) -> None:
    """The kernel and its recordings are stood in for, because only a GPU has them."""

    class OutOfResources(Exception):  # as Triton's, no RuntimeError
        pass

    def fail(*_: object) -> None:
        raise OutOfResources("shared memory")

    runtime = TorchRuntime(files[".safetensors"], device="cpu")
    pair = inputs(3)
    expected = runtime(*pair)
    runtime._graphed = runtime._fast = fail
    np.testing.assert_array_equal(runtime(*pair).probabilities, expected.probabilities)
    assert runtime.core == "plain: OutOfResources: shared memory"
    assert runtime._fast is None, "it is not tried for every batch"

    def exhaust(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    runtime._fast = exhaust
    with pytest.raises(BackendUnavailable, match="no memory left for a batch of 3"):
        runtime(*pair)
    assert runtime._fast is exhaust, "a smaller batch may have the room"
