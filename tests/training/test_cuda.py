"""Training on a GPU: what the CPU computes, and the same bits where they are asked for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK
from safetensors.torch import load_file

from glamor_cli.network.config import NetworkConfig
from glamor_cli.training.config import BEST, METRICS, TrainConfig
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.recipes import Optimizer
from glamor_cli.training.trainer import train

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
