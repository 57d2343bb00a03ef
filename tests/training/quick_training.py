"""A training of a few steps, and what two of them have in common."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.training.config import BEST, METRICS, TrainConfig
from glamor_cli.training.recipes import MODERN, Recipe

QUICK = replace(MODERN, name="quick", epochs=2, batch_size=8, ema_decay=0.9)


def config(store: Path, run: Path, recipe: Recipe = QUICK, **changes: object) -> TrainConfig:
    values = {"network": NetworkConfig(variant=Variant.FACE_ONLY), "threads": 1} | changes
    return TrainConfig(store=store, run=run, recipe=recipe, **values)


def outcome(run: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    """The kept weights and the metrics, without those that measure time."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["images_per_second"]
    return load_file(run / BEST), lines


def assert_same(one: Path, other: Path) -> None:
    weights, metrics = outcome(one)
    other_weights, other_metrics = outcome(other)
    assert metrics == other_metrics
    assert weights.keys() == other_weights.keys()
    for name, value in weights.items():
        assert torch.equal(value, other_weights[name]), name
