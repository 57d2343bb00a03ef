"""Another shot is told from whatever else happens in a video."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import skimage.data
from PIL import Image
from video_clips import SIZE, coming_back, crossing, two_shots

from glamor_cli.vision.cuts import CutDetector

COFFEE = Image.fromarray(skimage.data.coffee())
CAT = Image.fromarray(skimage.data.chelsea())


def cuts(frames: Iterable[Image.Image | np.ndarray]) -> list[int]:
    detector = CutDetector()
    found = [detector.update(np.asarray(frame, np.uint8)) for frame in frames]
    return list(np.flatnonzero(found))


def view(picture: Image.Image, x: float = 0.1, zoom: float = 1.3) -> Image.Image:
    """What a camera sees of a photograph."""
    width, height = picture.width / zoom, picture.height / zoom
    left = x * picture.width
    return picture.resize(SIZE, Image.Resampling.BILINEAR, (left, 0, left + width, height))


def lit(picture: Image.Image, gain: float) -> np.ndarray:
    return np.clip(np.asarray(picture, np.float32) * gain, 0, 255)


def test_photographs_after_each_other():
    frames = [view(COFFEE)] * 4 + [view(CAT)] * 4 + [view(COFFEE)] * 4
    assert cuts(frames) == [4, 8]


def test_people_before_different_walls():
    assert cuts(two_shots(each=3)) == [3]


def test_a_fade_through_black_is_one_cut():
    fade = [0.7, 0.4, 0.1, 0.0, 0.0]
    frames = [lit(view(COFFEE), gain) for gain in (1, *fade)]
    frames += [lit(view(CAT), gain) for gain in (*reversed(fade), 1)]
    assert len(cuts(frames)) == 1


SHOTS: dict[str, Callable[[], Iterable[Image.Image | np.ndarray]]] = {
    "people who pass each other": crossing,
    "people seen now and then": lambda: list(crossing())[::6],
    "somebody leaves and comes back": coming_back,
    "a pan": lambda: (view(COFFEE, 0.04 * number) for number in range(6)),
    "a zoom": lambda: (view(CAT, zoom=1.2 * 1.08**number) for number in range(9)),
    "the light goes off and on": lambda: (lit(view(CAT), gain) for gain in (1, 0.3, 1.5, 0.1, 1)),
    "a white flash": lambda: [view(CAT), Image.new("RGB", SIZE, "white"), view(CAT)],
    "nothing but one colour": lambda: [Image.new("RGB", SIZE, name) for name in ("red", "blue")],
    "a change of resolution": lambda: [view(CAT), view(CAT).resize((1920, 1280)), view(CAT)],
}


@pytest.mark.parametrize("shot", SHOTS)
def test_one_shot_is_not_cut(shot):
    assert cuts(SHOTS[shot]()) == []


def test_noise_does_not_cut():
    generator = np.random.default_rng(0)
    still = np.asarray(view(COFFEE), np.float32)
    noisy = (np.clip(still + generator.normal(0, 40, still.shape), 0, 255) for _ in range(5))
    assert cuts(noisy) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 2000), (2000, 3)])
def test_frames_of_any_shape_are_taken(shape):
    generator = np.random.default_rng(0)
    cuts(generator.integers(0, 255, (3, *shape, 3)))


def ranked(order: np.ndarray, *powers: float) -> np.ndarray:
    """A frame of 576 tiles whose places rank as in ``order``; each channel has its own levels."""
    levels = order.argsort().argsort().reshape(18, 32) / (order.size - 1)
    tiles = np.stack([255 * levels**power for power in powers], axis=-1)
    return tiles.repeat(4, axis=0).repeat(4, axis=1)


# Levels that rise evenly and their power p lie 255 * (1/2 - 1/(p + 1)) apart.
@pytest.mark.parametrize(
    ("correlation", "first", "second", "is_cut"),
    [
        (0.62, (1, 1, 1), (1.34, 1.34, 1.34), True),  # 18.5 apart
        (0.68, (1, 1, 1), (1.34, 1.34, 1.34), False),
        (0.62, (1, 1, 1), (1.24, 1.24, 1.24), False),  # 13.7 apart
        (0.62, (3, 1, 1), (1, 1, 3), True),  # red and blue have changed places
    ],
)
def test_places_and_levels_must_both_be_beyond_their_bounds(correlation, first, second, is_cut):
    own, other = np.random.default_rng(0).normal(size=(2, 576))
    mixed = correlation * own + (1 - correlation**2) ** 0.5 * other
    frames = [ranked(own, *first), ranked(mixed, *second)]
    brightness = [frame.mean(axis=2).ravel() for frame in frames]
    assert np.corrcoef(*brightness)[0, 1] == pytest.approx(correlation, abs=0.02)
    assert cuts(frames) == [1] * is_cut


def test_colours_of_equal_brightness_have_no_places_to_compare():
    halves = np.zeros((2, *SIZE[::-1], 3))
    halves[0, :, :240, 0] = halves[1, :, :240, 1] = halves[:, :, 240:, 2] = 200
    assert cuts(halves) == []
