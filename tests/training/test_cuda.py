"""Training on a GPU: what the CPU computes, and the same bits where they are asked for."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glamor_cli.network.config import NetworkConfig
from glamor_cli.system.exact_float32 import exact_float32, exact_float32_for_compilers
from glamor_cli.training.config import BEST, METRICS, TrainConfig
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.recipes import MODERN, Optimizer
from glamor_cli.training.trainer import train

QUICK = replace(MODERN, name="quick", epochs=2, batch_size=8, ema_decay=0.9)
STEADY = replace(QUICK, optimizer=Optimizer.SGD, learning_rate=0.02, dropout=0.0)
"""Dropout draws differently on each device; AdamW's first steps make much of rounding."""

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def run(store: Path, folder: Path, device: str, recipe=STEADY, **settings: object) -> Path:
    config = TrainConfig(store, folder, recipe, NetworkConfig(), device=device, **settings)
    assert train(config).finished
    return folder


def losses(folder: Path) -> list[float]:
    lines = (folder / METRICS).read_text().splitlines()
    return [json.loads(line)["train_loss"] for line in lines]


@pytest.mark.parametrize(
    "allowing",
    [
        "pass",
        "backends.cudnn.allow_tf32 = False",
        "backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('high')",
        "torch.set_float32_matmul_precision('medium')",
        "backends.fp32_precision = 'tf32'",
        "backends.mkldnn.conv.fp32_precision = 'bf16'",
        "backends.cudnn.conv.fp32_precision = 'ieee'",
    ],
)
def test_float32_is_float32_whatever_the_program_around_allows(allowing: str) -> None:
    """In a process of its own, because what torch's switches allow is the whole process's."""
    code = f"""
import torch
from torch import backends
from glamor_cli.system.exact_float32 import exact_float32

def state():
    cudnn, on_cpu = backends.cudnn, backends.mkldnn
    parts = (cudnn.conv, cudnn.rnn, backends.cuda.matmul, on_cpu.conv, on_cpu.matmul)
    return [part.fp32_precision for part in parts]

def older():
    said = []
    for read in (
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    ):
        try:
            said.append(read())
        except RuntimeError:  # the newer ones alone were changed
            said.append(None)
    return said

{allowing}
before, older_before = state(), older()
with exact_float32():
    assert state() == ["ieee"] * 5, state()
    for inside, outside in zip(older(), older_before, strict=True):
        # A callback of a training, or another thread, may read what it could read before.
        assert inside in (False, "highest") or outside is None, (inside, outside)
    if older_before[0] is not None:
        with backends.cudnn.flags(enabled=False):
            pass
assert state() == before, state()
assert older() == older_before, older()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compilers_may_ask_for_the_older_switches() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with exact_float32_for_compilers(), exact_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before


@pytest.mark.gpu
@needs_cuda
def test_a_gpu_learns_what_the_cpu_learns(scene_store: Path, tmp_path: Path) -> None:
    on_cpu = run(scene_store, tmp_path / "cpu", "cpu", precision=TrainPrecision.FP32)
    on_gpu = run(scene_store, tmp_path / "gpu", "cuda", precision=TrainPrecision.FP32)
    assert losses(on_gpu) == pytest.approx(losses(on_cpu), abs=5e-3)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("precision", [TrainPrecision.FP32, TrainPrecision.BF16])
def test_deterministic_trainings_have_the_same_bits(
    scene_store: Path, tmp_path: Path, precision: TrainPrecision
) -> None:
    settings = {"recipe": QUICK, "precision": precision, "deterministic": True}
    first, second = (run(scene_store, tmp_path / name, "cuda", **settings) for name in "ab")
    assert losses(first) == losses(second)
    ours, theirs = load_file(first / BEST), load_file(second / BEST)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
