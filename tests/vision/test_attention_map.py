"""Attention lies where the network looked, to the pixel."""

import numpy as np
import pytest

from glamor_cli.vision.attention_map import (
    attention_region,
    extreme_squares,
    interpolate_attention,
    region_mask,
    upsample_attention,
)
from glamor_cli.vision.pairs import NO_FACE, crop_context, sample_context


def hot(row: int, column: int, size: int = 7) -> np.ndarray:
    attention = np.zeros((size, size), np.float32)
    attention[row, column] = 1
    return attention


@pytest.mark.parametrize(("height", "width"), [(240, 250), (400, 250), (97, 203)])
def test_the_region_is_where_the_crop_was_sampled(height, width):
    """Each pixel says its own place; the crop's pixels must say they come from the region."""
    columns = np.broadcast_to(np.arange(width)[None, :], (height, width))
    rows = np.broadcast_to(np.arange(height)[:, None] * 255 / height, (height, width))
    image = np.stack([columns, rows, rows], axis=-1).astype(np.uint8)
    crop = crop_context(sample_context(image, NO_FACE)) * 255
    x1, y1, x2, y2 = attention_region(height, width)
    centres = (np.arange(112) + 0.5) / 112
    np.testing.assert_allclose(crop[50, :, 0], x1 + centres * (x2 - x1) - 0.5, atol=0.01)
    in_rows = y1 + centres * (y2 - y1) - 0.5
    np.testing.assert_allclose(crop[:, 50, 1], in_rows * 255 / height, atol=1)


@pytest.mark.parametrize("cell", [(0, 0), (3, 5), (6, 6)])
def test_a_cell_of_the_original_network_covers_16_pixels(cell):
    values = upsample_attention(hot(*cell), 112, 112)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert (row // 16, column // 16) == cell
    # Smooth: a neighbour fades out, it does not end.
    inner = upsample_attention(hot(3, 3), 112, 112)
    assert inner[56, 56] > inner[56, 64] > inner[56, 70] > 0
    assert inner[56, 100] == 0


@pytest.mark.parametrize("cell", [1, 2])
def test_a_cell_of_resnet_is_centred_where_its_strides_put_it(cell):
    # Cell i of ResNet-18 is centred at pixel 32 i of the 112 (padded convolutions of stride 2).
    values = upsample_attention(hot(1, cell, size=4), 112, 112)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert abs(row - 32) <= 1
    assert abs(column - 32 * cell) <= 1


@pytest.mark.parametrize("size", [7, 4])
def test_the_extreme_squares_are_those_of_all_that_there_are(size):
    attention = np.random.default_rng(size).dirichlet(np.ones(size**2)).astype(np.float32)
    values = interpolate_attention(attention.reshape(size, size))
    corners = range(0, 112 - 32 + 1, 8)
    masses = [values[y : y + 32, x : x + 32].sum() for y in corners for x in corners]
    for square, extreme in zip(
        extreme_squares(attention.reshape(size, size)), (max(masses), min(masses)), strict=True
    ):
        mask = region_mask(square)
        assert mask.shape == (112, 112)
        assert mask.sum() == 32 * 32
        assert mask[square.y1, square.x1] and mask[square.y2 - 1, square.x2 - 1]
        assert values[mask].sum() == pytest.approx(extreme, rel=1e-5)
