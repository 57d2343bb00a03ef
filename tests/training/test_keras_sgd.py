"""The update rule by hand, and the learning rate at its boundaries."""

import copy
from dataclasses import replace

import pytest
import torch

from glamor_cli.training.keras_sgd import KerasSGD
from glamor_cli.training.recipes import PAPER
from glamor_cli.training.schedule import learning_rate


def test_velocity_keeps_the_rate_it_was_made_with():
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = KerasSGD([weight], lr=0.1, momentum=0.5)
    expected, velocity = 1.0, 0.0
    for rate, gradient in ((0.1, 2.0), (0.1, 1.0), (0.01, 4.0), (0.01, 0.0)):
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = torch.tensor([gradient])
        optimizer.step()
        velocity = 0.5 * velocity - rate * gradient
        expected += velocity
        assert weight.item() == pytest.approx(expected)


def test_parameters_without_gradient_stay():
    used, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = KerasSGD([used, unused], lr=0.1, momentum=0.9)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2))
    assert not torch.equal(used, torch.ones(2))


def test_state_survives_saving():
    """A resumed run must go on with the velocity it had."""

    def step(optimizer, weight, gradient):
        weight.grad = torch.tensor([gradient])
        optimizer.step()

    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = KerasSGD([weight], lr=0.1, momentum=0.9)
    step(optimizer, weight, 1.0)
    resumed_weight = torch.nn.Parameter(weight.detach().clone())
    resumed = KerasSGD([resumed_weight], lr=0.5, momentum=0.0)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(optimizer, weight, 1.0)
    step(resumed, resumed_weight, 1.0)
    assert torch.equal(weight, resumed_weight)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 5e-4),
        (24 * 10 + 9, 5e-4),
        (25 * 10, 5e-4),  # the step at the boundary still has the old rate
        (25 * 10 + 1, 5e-5),
        (40 * 10, 5e-5),
        (40 * 10 + 1, 1e-5),
        (60 * 10 - 1, 1e-5),
    ],
)
def test_paper_learning_rate_at_its_boundaries(step, rate):
    assert learning_rate(PAPER, step, steps_per_epoch=10) == rate


def test_another_rate_scales_the_paper_schedule() -> None:
    halved = replace(PAPER, learning_rate=PAPER.learning_rate / 2)
    for step in (0, 251, 401):
        assert learning_rate(halved, step, 10) == pytest.approx(learning_rate(PAPER, step, 10) / 2)
