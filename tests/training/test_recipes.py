"""What recipes ask for is what is done: the rates of the steps, weight decay, precision."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from quick_training import QUICK, config
from safetensors.torch import load_file
from torch import nn

from glamor_cli.data.batches.augment import ContextAugmentation, FaceAugmentation
from glamor_cli.network.config import NetworkConfig, Variant
from glamor_cli.training import precision
from glamor_cli.training.average import move_average, start_average
from glamor_cli.training.checkpoints import LAST
from glamor_cli.training.optimizers import make_optimizer
from glamor_cli.training.options import TrainPrecision
from glamor_cli.training.precision import choose_precision
from glamor_cli.training.progress import Progress
from glamor_cli.training.recipes import FER2013, MODERN, PAPER, Optimizer, Recipe, SmallFaces
from glamor_cli.training.schedule import learning_rate
from glamor_cli.training.trainer import train

STEPS = 10
CPU = torch.device("cpu")


def test_one_cycle_rises_for_a_fifth_and_falls_to_nothing() -> None:
    rates = np.array([learning_rate(MODERN, step, STEPS) for step in range(30 * STEPS)])
    assert rates[0] == pytest.approx(1e-3 / 25)
    assert rates.argmax() == 60
    assert rates[60] == 1e-3
    assert (np.diff(rates[:61]) > 0).all()
    assert (np.diff(rates[60:]) < 0).all()
    # Both cosines are half way in their middles.
    assert rates[30] == pytest.approx((rates[0] + 1e-3) / 2)
    assert rates[180] == pytest.approx(0.5e-3)
    assert 0 < rates[-1] < 1e-6


def test_a_linear_schedule_falls_in_a_straight_line() -> None:
    rates = np.array([learning_rate(FER2013, step, STEPS) for step in range(20 * STEPS + 1)])
    assert rates.argmax() == 20
    assert rates[20] == 0.08
    assert rates[110] == pytest.approx(0.04)
    np.testing.assert_allclose(np.diff(rates[20:]), -0.08 / 180)
    assert rates[-1] == 0


@pytest.mark.parametrize(("step", "kept"), [(0, 0.1), (8, 0.5), (100_000, 0.999)])
def test_the_moving_average_soon_forgets_where_it_began(step, kept) -> None:
    network = nn.BatchNorm1d(1)
    average = start_average(network)
    for name, value in network.state_dict().items():
        value.fill_(1 if name in average else 7)
    for value in average.values():
        value.zero_()
    move_average(average, network, 0.999, step)
    assert average.keys() == {"weight", "bias", "running_mean", "running_var"}
    assert [float(value) for value in average.values()] == pytest.approx([1 - kept] * 4)


@pytest.mark.parametrize("recipe", [MODERN, FER2013, PAPER], ids=lambda recipe: recipe.name)
def test_weight_decay_spares_norms_and_biases(recipe) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(recipe, network).step()
    for name, parameter in network.named_parameters():
        decays = recipe is not PAPER and name in {"0.weight", "3.weight"}
        assert bool((parameter < 1).all()) == decays, name
        assert bool((parameter == 1).all()) != decays, name


def test_sgd_looks_ahead_as_nesterov_does() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    rate, momentum, decay = FER2013.learning_rate, FER2013.momentum, FER2013.weight_decay
    optimizer = make_optimizer(FER2013, layer)
    weight, velocity = 1.0, 0.0
    for slope in (0.5, -0.25):
        layer.weight.grad = torch.full((1, 1), slope)
        optimizer.step()
        gradient = slope + decay * weight
        velocity = momentum * velocity + gradient
        weight -= rate * (gradient + momentum * velocity)
        assert layer.weight.item() == pytest.approx(weight, abs=1e-6)


def test_sgd_without_momentum_takes_plain_steps() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 1.0)
    optimizer = make_optimizer(replace(FER2013, momentum=0.0, weight_decay=0.0), layer)
    layer.weight.grad = torch.full((1, 1), 0.5)
    optimizer.step()
    assert layer.weight.item() == pytest.approx(1 - 0.5 * FER2013.learning_rate)


def test_auto_never_mixes_precisions_where_the_recipe_does_not(monkeypatch) -> None:
    """The paper's numbers are float32's, also on hardware that has bf16."""
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    assert (
        choose_precision(TrainPrecision.AUTO, CPU, mixed=PAPER.mixed_precision)
        is TrainPrecision.FP32
    )
    assert (
        choose_precision(TrainPrecision.AUTO, CPU, mixed=MODERN.mixed_precision)
        is TrainPrecision.BF16
    )
    assert choose_precision(TrainPrecision.BF16, CPU, mixed=False) is TrainPrecision.BF16
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    assert choose_precision(TrainPrecision.AUTO, CPU) is TrainPrecision.FP32
    assert choose_precision(TrainPrecision.BF16, CPU) is TrainPrecision.BF16


SHORT = replace(QUICK, batch_size=4)
ASKED = {
    "epoch_share": 0.5,
    "warm_up": 0.9,
    "gradient_clip": 0.01,
    "label_smoothing": 0.2,
    "momentum": 0.5,
    "betas": (0.8, 0.9),
    "dropout": 0.1,
    "norm_momentum": None,
    "mix": 0.5,
    "small_faces": (SmallFaces(until=0.5, size=48),),
    "face": FaceAugmentation(),
    "context": ContextAugmentation(),
    "synthetic_contexts": 0.5,
}


@pytest.fixture(scope="module")
def learn(
    scene_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, torch.Tensor]]:
    """Train for two steps, and read what was learnt; the same is not trained twice."""

    def stop(progress: Progress) -> None:
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    @cache
    def do(recipe: Recipe, **settings: object) -> dict[str, torch.Tensor]:
        run = tmp_path_factory.mktemp("learnt") / "run"
        train(config(scene_store, run, recipe, **settings), on_progress=stop)
        last = load_file(run / LAST)
        return {name: value for name, value in last.items() if name.startswith("network/")}

    return do


@pytest.mark.parametrize("name", ASKED)
def test_what_a_recipe_asks_for_changes_what_is_learnt(learn, name: str) -> None:
    recipe = replace(SHORT, optimizer=Optimizer.SGD) if name == "momentum" else SHORT
    variant = Variant.CONTEXT_ONLY if "context" in name else Variant.FACE_ONLY
    network = NetworkConfig(variant=variant)
    one = learn(recipe, network=network)
    other = learn(replace(recipe, **{name: ASKED[name]}), network=network)
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


def test_bf16_is_what_is_computed_in_where_it_is_asked_for(learn) -> None:
    one, other = (learn(SHORT, precision=precision) for precision in ("fp32", "bf16"))
    assert any(not torch.equal(value, other[key]) for key, value in one.items())
