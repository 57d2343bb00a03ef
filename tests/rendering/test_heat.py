"""Attention is drawn where the network looked, and nowhere else."""

import numpy as np
import pytest
import skimage.data

from glamor_cli.rendering.heat import overlay_attention
from glamor_cli.vision.attention_map import attention_region, upsample_attention
from glamor_cli.vision.pairs import NO_FACE, Box

FACE = Box(172, 60, 274, 180)


def hot(row: int, column: int) -> np.ndarray:
    attention = np.zeros((7, 7), np.float32)
    attention[row, column] = 1
    return attention


def test_what_is_looked_at_changes_and_nothing_outside_the_view():
    picture = skimage.data.astronaut()
    one = overlay_attention(picture, hot(6, 0), FACE)
    other = overlay_attention(picture, hot(0, 6), FACE)
    x1, y1, x2, y2 = (round(edge) for edge in attention_region(512, 512))
    changed = (one != other).any(axis=-1)
    assert changed[y2 - 20, x1 + 20] and changed[y1 + 20, x2 - 20]
    changed[y1:y2, x1:x2] = False
    assert not changed.any()


def test_a_face_that_is_not_looked_at_keeps_its_colours():
    picture = skimage.data.astronaut()
    drawn = overlay_attention(picture, hot(6, 6), FACE)
    part = np.s_[FACE.y1 : FACE.y2, FACE.x1 : FACE.x2]
    np.testing.assert_array_equal(drawn[part], picture[part])


def test_attention_that_hardly_prefers_a_place_is_not_painted_as_if_it_did():
    gray = np.full((256, 256, 3), 128, np.uint8)
    flat = np.random.default_rng(0).uniform(0.0200, 0.0208, (7, 7)).astype(np.float32)
    painted = overlay_attention(gray, flat, NO_FACE)
    x1, y1, x2, y2 = (round(edge) for edge in attention_region(256, 256))
    assert np.abs(painted[y1:y2, x1:x2].astype(int) - 128).max() < 20
    # A peak of twice its even share is drawn as before, whole.
    twice = np.full((7, 7), 1, np.float32)
    twice[3, 3] = 50 / 24
    assert upsample_attention(twice, 112, 112).max() == pytest.approx(1)


@pytest.mark.parametrize("value", [0, 1 / 49])
def test_attention_that_prefers_no_place_leaves_the_picture_as_it_is(value):
    picture = skimage.data.astronaut()
    drawn = overlay_attention(picture, np.full((7, 7), value, np.float32), FACE)
    np.testing.assert_array_equal(drawn, picture)
