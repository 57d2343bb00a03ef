from dataclasses import replace

import numpy as np
import pytest

from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.scene import draw_scene
from glamor_cli.errors import DataError
from glamor_cli.evaluation.attention.measure import (
    centre_cell,
    measure_attention,
    to_crop,
    touched_cells,
)
from glamor_cli.vision.pairs import Box, make_pair

GRID = (7, 7)


def one_cell(row: int, column: int) -> np.ndarray:
    attention = np.zeros(GRID, np.float32)
    attention[row, column] = 1
    return attention


def test_mapping_agrees_with_what_the_network_sees():
    # Paint a box into an image, make its pair the usual way, and look where it went.
    for width, height in ((342, 256), (171, 128), (500, 333), (640, 1000)):
        image = np.zeros((height, width, 3), np.uint8)
        box = Box(round(width * 0.4), round(height * 0.3), round(width * 0.55), round(height * 0.5))
        image[box.y1 : box.y2, box.x1 : box.x2] = 255
        context = make_pair(image, Box(0, 0, 0, 0)).context[0]
        rows, columns = np.nonzero(context > 0.5)
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.subtract(to_crop(box, width, height), seen)).max() <= 0.6
        cells = context.reshape(7, 16, 7, 16).max(axis=(1, 3)) > 0.5
        touched = touched_cells(box, width, height, GRID)
        assert (touched | ~cells).all()
        assert touched.sum() - cells.sum() <= 4


def test_cells_by_hand():
    # Sampled 1:1: columns 61..77 of 171 are 32..48 in the crop, exactly the third cell.
    box = Box(29 + 32, 8 + 16, 29 + 48, 8 + 32)
    assert centre_cell(box, 171, 128, GRID) == (1, 2)
    assert np.argwhere(touched_cells(box, 171, 128, GRID)).tolist() == [[1, 2]]
    wider = Box(box.x1 - 1, box.y1, box.x2, box.y2 + 1)
    assert np.argwhere(touched_cells(wider, 171, 128, GRID)).tolist() == [
        [1, 1],
        [1, 2],
        [2, 1],
        [2, 2],
    ]
    for grid in (GRID, (4, 4)):
        assert not touched_cells(Box(0, 0, 29, 8), 171, 128, grid).any()
        assert not touched_cells(Box(141, 120, 171, 128), 171, 128, grid).any()


def test_cells_of_resnet_by_hand():
    # Strides of 2 with padding put the centre of cell i at pixel 32i of the crop.
    for row, column in ((0, 0), (1, 2), (3, 3)):
        x, y = 29 + 32 * column, 8 + 32 * row
        box = Box(x - 4, y - 4, x + 5, y + 5)
        assert centre_cell(box, 171, 128, (4, 4)) == (row, column)
        touched = touched_cells(box, 171, 128, (4, 4))
        assert np.argwhere(touched).tolist() == [[row, column]]
    assert centre_cell(Box(29 + 32, 8 + 16, 29 + 48, 8 + 32), 171, 128, (4, 4)) == (1, 1)


def test_measures_of_maps_with_a_known_answer():
    cue = draw_scene(SceneConfig(), "test", 0).cue
    row, column = centre_cell(cue.box, cue.width, cue.height, GRID)
    decoy = centre_cell(cue.decoys[0], cue.width, cue.height, GRID)
    uniform = np.full(GRID, 1 / 49, np.float32)
    touched = touched_cells(cue.box, cue.width, cue.height, GRID).mean()

    on = measure_attention(one_cell(row, column)[None], [cue])
    assert (on.near_cue, on.pointing_game, on.mass, on.on_decoy) == (1, 1, 1, 0)
    off = measure_attention(one_cell(*decoy)[None], [cue])
    assert (off.near_cue, off.pointing_game, off.mass, off.on_decoy) == (0, 0, 0, 1)
    even = measure_attention(uniform[None], [cue])
    assert even.mass == pytest.approx(even.mass_by_chance)
    assert even.mass_by_chance == pytest.approx(touched)
    both = np.stack([one_cell(row, column), one_cell(*decoy)])
    half = measure_attention(both, [cue, cue])
    assert (half.count, half.near_cue, half.mass) == (2, 0.5, 0.5)
    chosen = measure_attention(both, [cue, cue], chosen=np.array([True, False]))
    assert (chosen.count, chosen.near_cue) == (1, 1)


def test_a_map_without_a_peak_points_nowhere():
    # The first cell is the peak of an even map only by the order of cells.
    cue = replace(draw_scene(SceneConfig(scale=1), "test", 0).cue, box=Box(30, 9, 44, 23))
    assert touched_cells(cue.box, cue.width, cue.height, GRID)[0, 0]
    for value in (0.0, 1 / 49):
        found = measure_attention(np.full((1, *GRID), value, np.float32), [cue])
        assert (found.near_cue, found.pointing_game, found.on_decoy) == (0, 0, 0)


def test_looking_at_a_decoy_never_counts_as_near():
    for index in range(200):
        cue = draw_scene(SceneConfig(scale=1, cues=3), "test", index).cue
        maps = [one_cell(*centre_cell(box, cue.width, cue.height, GRID)) for box in cue.decoys]
        assert measure_attention(np.stack(maps), [cue, cue]).near_cue == 0


def test_refuses_what_does_not_fit():
    cue = draw_scene(SceneConfig(scale=1), "test", 0).cue
    maps = np.ones((2, 7, 7), np.float32)
    with pytest.raises(DataError, match="does not fit"):
        measure_attention(maps, [cue])
    with pytest.raises(DataError, match="no attention map"):
        measure_attention(maps, [cue, cue], chosen=np.zeros(2, bool))


def test_scenes_without_decoys_are_measured():
    cue = replace(draw_scene(SceneConfig(train=1), "train", 0).cue, decoys=())
    row, column = centre_cell(cue.box, cue.width, cue.height, GRID)
    measures = measure_attention(one_cell(row, column)[None], [cue])
    assert (measures.pointing_game, measures.on_decoy) == (1, 0)
