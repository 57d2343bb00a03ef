"""What hiding costs, on a network whose answer is known: it says how bright one corner is."""

import numpy as np
import pytest

from glamor_cli.errors import ConfigError
from glamor_cli.evaluation.attention.hiding import HidingConfig, Occluder, make_filling, random_maps
from glamor_cli.evaluation.attention.options import Fill
from glamor_cli.runtimes.interface import Output, Runtime
from glamor_cli.weights.metadata import Metadata

CORNER = slice(0, 32)


class CornerBrightness(Runtime):
    """Says Anger as probably as the upper left 32x32 pixels are bright, else Disgust."""

    metadata = Metadata("corner")
    backend = provider = "cpu"

    def _run(self, face, context):
        bright = context[:, :, CORNER, CORNER].mean(axis=(1, 2, 3))
        probabilities = np.zeros((len(face), 7), np.float32)
        probabilities[:, 0], probabilities[:, 1] = bright, 1 - bright
        attention = np.zeros((len(face), 7, 7), np.float32)
        return Output(probabilities, attention, np.ones((len(face), 2), np.float32))


def occluder(count=3, **settings) -> Occluder:
    runtime = CornerBrightness()
    faces = np.zeros((count, 3, 96, 96), np.float32)
    contexts = np.ones((count, 3, 112, 112), np.float32)
    whole = runtime(faces, contexts).probabilities
    return Occluder(runtime, faces, contexts, whole, HidingConfig(**settings))


def draws(count: int = 3) -> list[np.random.Generator]:
    return [np.random.default_rng(number) for number in range(count)]


def maps(row: int, column: int, count: int = 3) -> np.ndarray:
    values = np.full((count, 7, 7), 0.01, np.float32)
    values[:, row : row + 2, column : column + 2] = 0.2
    return values


def test_hiding_what_the_answer_hangs_on_costs_all_of_it():
    found = occluder().highest(maps(0, 0), draws())
    np.testing.assert_allclose(found.drops, 1)
    assert found.answers.tolist() == [[1]] * 3
    elsewhere = occluder().highest(maps(5, 5), draws())
    np.testing.assert_allclose(elsewhere.drops, 0)
    assert elsewhere.answers.tolist() == [[0]] * 3


def test_an_even_map_has_no_highest_square():
    """The first of equal squares lies in the corner, which would count as what such maps chose."""
    count = 200
    found = occluder(count).highest(np.zeros((count, 7, 7), np.float32), draws(count))
    anywhere = occluder(count, regions=1).anywhere(draws(count))
    assert 0 < found.drops.mean() == pytest.approx(anywhere.drops.mean(), rel=0.5)


def test_random_squares_cost_what_they_cover():
    count, regions = 40, 50
    found = occluder(count, regions=regions).anywhere(draws(count))
    assert found.answers.shape == (count, regions)
    # A square at x of 81 places covers 32 - x of the corner's columns, so (sum / 81 / 32)^2.
    expected = (sum(32 - x for x in range(32)) / 81 / 32) ** 2
    assert found.drops.mean() == pytest.approx(expected, rel=0.2)


def test_curves_fall_and_rise_where_the_map_is_right():
    right, wrong = (occluder(steps=4).curves(maps(*place), draws()) for place in ((0, 0), (5, 5)))
    assert right.shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    # The corner is 8% of the context: gone with the first quarter, or shown with it.
    np.testing.assert_allclose(right.deletion, [[1, 0, 0, 0, 0]] * 3, atol=1e-6)
    np.testing.assert_allclose(right.insertion, [[0, 1, 1, 1, 1]] * 3, atol=1e-6)
    assert right.deletion_area == pytest.approx(0.125)
    assert right.insertion_area == pytest.approx(0.875)
    assert wrong.deletion_area > 0.4 > right.deletion_area
    assert wrong.insertion_area < 0.6 < right.insertion_area


def test_the_ring_around_a_peak_is_as_unimportant_as_what_is_far():
    """A smooth enlargement sinks below the ground there, and the ring would come last of all."""
    peak = np.full((3, 7, 7), 1e-4, np.float32)
    peak[:, 3, 3] = 1 - 48e-4
    curves = occluder(steps=8).curves(peak, draws())
    # So much of the far corner is shown when an eighth of the pixels is still hidden.
    np.testing.assert_allclose(curves.insertion[:, -2], 7 / 8, atol=0.05)


def test_pixels_of_the_same_importance_are_hidden_all_over():
    # Grad-CAM is often zero nearly everywhere. In the order of rows, the corner would go first.
    even = np.zeros((3, 7, 7), np.float32)
    curves = occluder(steps=4).curves(even, draws())
    np.testing.assert_allclose(curves.deletion[0], [1, 0.75, 0.5, 0.25, 0], atol=0.06)


def test_maps_that_know_nothing_are_as_smooth_as_others():
    found = random_maps((4, 4), draws(5))
    assert found.shape == (5, 4, 4)
    assert found.dtype == np.float32
    assert found.min() >= 0


def test_what_hidden_parts_show():
    rng = np.random.default_rng(0)
    contexts = rng.random((2, 3, 112, 112), np.float32)
    assert not make_filling(contexts, Fill.BLACK).any()
    mean = make_filling(contexts, Fill.MEAN)
    np.testing.assert_allclose(mean[1, 2], contexts[1, 2].mean(), atol=1e-5)
    blurred = make_filling(contexts, Fill.BLUR)
    assert blurred.dtype == np.float32
    assert blurred.shape == contexts.shape
    assert blurred.std() < contexts.std() / 5
    np.testing.assert_allclose(blurred.mean(axis=(2, 3)), contexts.mean(axis=(2, 3)), atol=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        *({"regions": 0}, {"regions": 10**20}, {"steps": 0}, {"steps": 10**20}),
        *({"side": 112}, {"side": 0}),
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError):
        HidingConfig(**settings)
