"""Training steps against what the authors' program computed with the same weights and inputs.

Everything here runs without dropout, as the golden data do. The optimiser is the paper recipe's.
"""

from dataclasses import dataclass

import golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from glamor_cli.export.tensorflow_checkpoint import VARIABLE_NAMES, convert_variables
from glamor_cli.training.optimizers import make_optimizer
from glamor_cli.training.recipes import PAPER
from glamor_cli.training.schedule import PAPER_RATES, piecewise_rate

CONSTANT = [5e-4] * 5
SCHEDULE = [piecewise_rate(step, (2, 4), PAPER_RATES) for step in range(7)]
"""The golden schedule's boundaries are steps 2 and 4; each still has the rate before it."""


@dataclass(frozen=True)
class Run:
    """What a few steps of training left, in our names and layout."""

    losses: list[float]
    train_scores: np.ndarray
    gradients: dict[str, torch.Tensor]
    after_first: dict[str, torch.Tensor]
    final: dict[str, torch.Tensor]
    final_scores: np.ndarray


def train(rates, dtype=torch.float32):
    network = golden.make_network(dtype)
    faces, contexts = (images.to(dtype) for images in golden.make_inputs())
    optimizer = make_optimizer(PAPER, network)
    losses, scores, gradients, after_first = [], [], {}, {}
    network.train()
    for rate in rates:
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = network(faces, contexts).logits
        loss = F.cross_entropy(logits, golden.LABELS)
        optimizer.zero_grad()
        loss.backward()
        if not gradients:
            gradients = {name: p.grad.clone() for name, p in network.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
        scores.append(logits.detach().softmax(1).numpy())
        if not after_first:
            after_first = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()
    with torch.inference_mode():
        final_scores = network(faces, contexts).logits.softmax(1).numpy()
    return Run(losses, np.stack(scores), gradients, after_first, network.state_dict(), final_scores)


@pytest.fixture(scope="module")
def expected():
    return golden.load("train")


@pytest.fixture(scope="module")
def five_steps():
    return train(CONSTANT)


@pytest.fixture(scope="module")
def seven_steps():
    return train(SCHEDULE)


@pytest.fixture(scope="module")
def five_steps_in_float64():
    return train(CONSTANT, torch.float64)


def recorded(expected, prefix):
    """Our name, and the values turned to our layout, of every array under a prefix."""
    found = {key.removeprefix(prefix): key for key in expected if key.startswith(prefix)}
    for theirs, key in found.items():
        (ours, values), *_ = convert_variables({theirs: expected[key]}).items()
        yield ours, values.numpy()


def to_official(name, tensor):
    """Turn one of our tensors to the authors' layout, where projections are taken."""
    values = tensor.numpy().astype(np.float64)
    return values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T


def test_losses_of_five_steps(five_steps, expected):
    np.testing.assert_allclose(five_steps.losses, expected["loss"], rtol=0, atol=1e-4)


def test_scores_of_five_steps(five_steps, expected):
    np.testing.assert_allclose(five_steps.train_scores, expected["train_scores"], atol=1e-4)
    np.testing.assert_allclose(five_steps.final_scores, expected["final_scores"], atol=1e-4)


@pytest.mark.parametrize("kind", ["running_mean", "running_var"])
@pytest.mark.parametrize("place", ["face_encoder", "context_encoder", "attention"])
def test_moving_statistics_after_the_first_step(five_steps, expected, place, kind):
    """The attention's variance is the biased one, the encoders' are not."""
    checked = 0
    for name, values in recorded(expected, "after1/"):
        if name.startswith(place) and name.endswith(kind):
            np.testing.assert_allclose(
                five_steps.after_first[name].numpy(), values, rtol=1e-5, atol=1e-5, err_msg=name
            )
            checked += 1
    assert checked == (1 if place == "attention" else 5)


def test_gradients_of_the_first_step(five_steps, expected):
    for name, values in recorded(expected, "grad/"):
        # There the program's own float32 is 1.3% off its float64.
        tolerance = 0.02 if name.startswith("context_encoder") else 1e-4
        error = np.linalg.norm(five_steps.gradients[name].numpy() - values)
        assert error < tolerance * np.linalg.norm(values), name


def test_gradient_norm_of_every_parameter(five_steps, expected):
    norms = dict(zip(expected["f64_grad_names"], expected["f64_grad_norms"], strict=True))
    assert {VARIABLE_NAMES[theirs] for theirs in norms} == set(five_steps.gradients)
    for theirs, norm in norms.items():
        # Biases before a batch norm have no gradient; what is left of them is rounding.
        actual = five_steps.gradients[VARIABLE_NAMES[theirs]].norm().item()
        assert actual == pytest.approx(norm, rel=1e-4, abs=2e-5), theirs


def test_variables_after_five_steps(five_steps, expected):
    for name, values in recorded(expected, "final/"):
        np.testing.assert_allclose(
            five_steps.final[name].numpy(), values, rtol=0, atol=1e-4, err_msg=name
        )


def test_how_far_every_variable_moved(five_steps, expected):
    moved = dict(zip(expected["final_names"], expected["final_delta_l2"], strict=True))
    for theirs, distance in moved.items():
        now = to_official(theirs, five_steps.final[VARIABLE_NAMES[theirs]])
        actual = np.linalg.norm(now - golden.make_weights()[theirs])
        assert actual == pytest.approx(distance, rel=1e-3, abs=1e-5), theirs


def test_schedule_with_both_drops(seven_steps, expected):
    np.testing.assert_allclose(seven_steps.losses, expected["sched_loss"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(
        seven_steps.final_scores, expected["sched_final_scores"], rtol=0, atol=2e-4
    )


def test_losses_in_float64(five_steps_in_float64, expected):
    np.testing.assert_allclose(
        five_steps_in_float64.losses, expected["f64_loss"], rtol=0, atol=1e-7
    )
    np.testing.assert_allclose(
        five_steps_in_float64.train_scores, expected["f64_train_scores"], rtol=0, atol=1e-7
    )


def test_gradients_in_float64(five_steps_in_float64, expected):
    names, norms = expected["f64_grad_names"], expected["f64_grad_norms"]
    for theirs, norm, projection in zip(names, norms, expected["f64_grad_proj"], strict=True):
        gradient = to_official(theirs, five_steps_in_float64.gradients[VARIABLE_NAMES[theirs]])
        direction = golden.uniform(f"proj/{theirs}", gradient.shape, -1, 1)
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-6, abs=1e-9), theirs
        assert (gradient * direction).sum() == pytest.approx(projection, rel=1e-6, abs=1e-9), theirs


def test_parameters_in_float64(five_steps_in_float64, expected):
    names, distances = expected["f64_final_names"], expected["f64_final_delta_l2"]
    for theirs, distance, projection in zip(
        names, distances, expected["f64_final_proj"], strict=True
    ):
        if theirs.endswith("moving_variance"):
            continue  # in float64 the authors' program leaves its fused kernel, and its variance
        now = to_official(theirs, five_steps_in_float64.final[VARIABLE_NAMES[theirs]])
        direction = golden.uniform(f"proj/{theirs}", now.shape, -1, 1)
        moved = now - golden.make_weights()[theirs]
        assert np.linalg.norm(moved) == pytest.approx(distance, rel=1e-6, abs=1e-9), theirs
        assert (moved * direction).sum() == pytest.approx(projection, rel=1e-6, abs=1e-9), theirs
