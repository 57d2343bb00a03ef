import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamor_cli.data.data_sets.crop_files import read_box
from glamor_cli.data.data_sets.data_set import Layout
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.cues import read_cues
from glamor_cli.data.scenes.drawing import FILLS, RINGS
from glamor_cli.data.scenes.make import make_scenes
from glamor_cli.data.scenes.scene import CUE_COLUMNS, CUE_DISTANCE, CUE_ROWS, draw_scene
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.files.folder_lock import lock_folder
from glamor_cli.vision.pairs import EVALUATION_COLUMNS, EVALUATION_ROWS, sample_context, sample_face

SMALL = SceneConfig(train=21, validation=7, test=3, seed=5, cues=3)
"""Of three discs; two are fewer of the same."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "out", SMALL)


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_is_a_data_set_in_the_authors_layout(folder):
    data_set = open_data_set(folder)
    assert data_set.layout is Layout.AUTHORS
    assert data_set.find_boxed_splits() == data_set.splits
    assert set(data_set.splits) == {"train", "validation", "test"}
    cues = read_cues(folder)
    records = [record for split in data_set.splits for record in data_set.records(split)]
    assert len(records) == len(cues) == 31
    for record in records:
        cue = cues[record.name]
        assert (cue.split, cue.label) == (record.split, record.label)
        with Image.open(record.source) as image:
            assert image.size == (cue.width, cue.height) == (342, 256)
        box = read_box(record.box_file)
        assert 0 <= box.x1 < box.x2 <= 342
        assert 0 <= box.y1 < box.y2 <= 256


def test_same_seed_same_bytes_and_another_seed_others(folder, tmp_path):
    again = make_scenes(tmp_path / "again", SMALL)
    assert all_bytes(again) == all_bytes(folder)
    other = make_scenes(tmp_path / "other", replace(SMALL, seed=6))
    assert all_bytes(other).keys() == all_bytes(folder).keys()
    assert all_bytes(other)["cues.csv"] != all_bytes(folder)["cues.csv"]


def test_more_scenes_leave_the_first_ones_as_they_are(folder, tmp_path):
    more = all_bytes(make_scenes(tmp_path / "more", replace(SMALL, train=24)))
    fewer = all_bytes(folder)
    del fewer["cues.csv"]
    assert {name: more[name] for name in fewer} == fewer


def test_splits_do_not_share_scenes():
    images = [np.asarray(draw_scene(SMALL, split, 0).image) for split in SMALL.counts]
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


@pytest.mark.parametrize("count", [2, 3])
def test_labels_and_kinds_are_balanced(count):
    config = replace(SMALL, cues=count)
    cues = [draw_scene(config, "train", index).cue for index in range(7 * count)]
    pairs = Counter((cue.label, cue.kind) for cue in cues)
    assert len(pairs) == 7 * count
    assert set(pairs.values()) == {1}


def test_the_file_of_cues_gives_back_what_was_drawn(folder, tmp_path):
    two = replace(SMALL, cues=2)
    for config, scenes in ((SMALL, folder), (two, make_scenes(tmp_path / "two", two))):
        drawn = [draw_scene(config, "train", index).cue for index in range(config.train)]
        read = read_cues(scenes)
        assert [read[cue.name] for cue in drawn] == drawn
        assert {len(cue.decoys) for cue in drawn} == {config.cues - 1}


@pytest.mark.parametrize("count", [2, 3])
def test_the_cues_drawn_are_those_recorded(count):
    # What the file says of a cue is what a network sees there: ring of the kind, fill of the label.
    for index in range(21):
        scene = draw_scene(replace(SMALL, cues=count), "train", index)
        pixels = np.asarray(scene.image)
        fills = set()
        for number, box in enumerate((scene.cue.box, *scene.cue.decoys)):
            middle_y, middle_x = (box.y1 + box.y2) // 2, (box.x1 + box.x2) // 2
            fill, ring = tuple(pixels[middle_y, middle_x]), tuple(pixels[middle_y, box.x1 + 3])
            fills.add(fill)
            if number == 0:
                assert fill == FILLS[scene.cue.label]
                assert ring == RINGS[scene.cue.kind]
            else:
                assert fill in FILLS.values()
                assert ring in set(RINGS.values()) - {RINGS[scene.cue.kind]}
        assert len(fills) == count, "with equal fills the context alone would know more"


def test_every_cue_is_whole_in_the_crop_apart_from_the_others_and_from_the_person():
    centres = []
    for index in range(300):
        scene = draw_scene(SceneConfig(scale=1, cues=3), "train", index)
        boxes = (scene.cue.box, *scene.cue.decoys)
        for box in boxes:
            assert CUE_COLUMNS[0] <= box.x1 < box.x2 <= CUE_COLUMNS[1]
            assert CUE_ROWS[0] <= box.y1 < box.y2 <= CUE_ROWS[1]
            assert EVALUATION_COLUMNS.start <= box.x1 < box.x2 <= EVALUATION_COLUMNS.stop
            assert EVALUATION_ROWS.start <= box.y1 < box.y2 <= EVALUATION_ROWS.stop
            face = scene.face
            assert box.x2 < face.x1 or face.x2 < box.x1 or box.y2 < face.y1 or face.y2 < box.y1
        for one, other in ((0, 1), (0, 2), (1, 2)):
            across = abs(boxes[one].x1 - boxes[other].x1)
            down = abs(boxes[one].y1 - boxes[other].y1)
            assert max(across, down) >= CUE_DISTANCE
        centres.append([(box.x1, box.y1) for box in boxes])
    # The deciding cue is no more to the left or the top than the others are: the place must not
    # give it away. Three standard errors of a mean of 300 are 4 pixels across and 6 down.
    means = np.mean(centres, axis=0)
    assert np.ptp(means[:, 0]) < 6
    assert np.ptp(means[:, 1]) < 8


def test_the_mouth_alone_tells_the_kind():
    # In the face as the network gets it, whatever skin, hair and background.
    shares = {kind: [] for kind in RINGS}
    for index in range(63):
        scene = draw_scene(SMALL, "train", index)
        mouth = sample_face(np.asarray(scene.image), scene.face)[56:88, 30:66]
        white, dark = (mouth.min(axis=2) > 0.95).mean(), (mouth.max(axis=2) < 0.28).mean()
        shares[scene.cue.kind].append((white, dark))
    for kind, white, dark in (("white", True, False), ("black", False, True)):
        for whites, darks in shares[kind]:
            assert (whites > 0.4, darks > 0.4) == (white, dark)
    assert np.max(shares["gray"]) < 0.2


def test_scale_two_is_sampled_to_what_scale_one_shows():
    # A scene of scale 2 loses no place: both have the same layout on the sampled grid.
    small, large = (draw_scene(SceneConfig(scale=scale), "test", 4) for scale in (1, 2))
    assert [tuple(2 * side for side in box) for box in (small.cue.box, small.face)] == [
        tuple(large.cue.box),
        tuple(large.face),
    ]
    a, b = (sample_context(np.asarray(scene.image), scene.face) for scene in (small, large))
    assert np.abs(a - b).mean() < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": -1}, "number of train scenes must be 0 or more, not -1"),
        ({"train": 0, "validation": 0, "test": 0}, "no scenes"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"cues": 1}, "number of discs in a scene must be 2 to 3, not 1"),
        ({"cues": 4}, "not 4"),
        ({"scale": 0}, "scale must be 1 to 24, not 0"),
        ({"scale": 1000}, "not 1000"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SceneConfig(**settings)


@pytest.mark.parametrize(
    ("split", "index", "message"),
    [
        ("val", 0, "there is no split 'val'"),
        ("test", -1, "index of a scene must be 0 or more, not -1"),
    ],
)
def test_scenes_that_cannot_be_are_refused(split, index, message):
    with pytest.raises(ConfigError, match=message):
        draw_scene(SceneConfig(), split, index)


def test_a_split_without_scenes_is_left_out(tmp_path):
    out = make_scenes(tmp_path / "out", SceneConfig(train=7, validation=0, test=0))
    assert open_data_set(out).splits == ("train",)


def test_a_name_that_the_system_does_not_accept_is_told(tmp_path):
    with pytest.raises(ConfigError, match="too long"):
        make_scenes(tmp_path / ("x" * 300), SceneConfig(1, 0, 0))


def test_never_writes_into_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        make_scenes(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("kind", ["the one worked in", "a link", "as it is"])
def test_an_empty_folder_is_filled_and_stays(tmp_path, monkeypatch, kind):
    empty = tmp_path / "empty"
    empty.mkdir()
    before = empty.stat().st_ino
    out = empty
    if kind == "the one worked in":
        monkeypatch.chdir(empty)
        out = Path()
    elif kind == "a link":
        out = tmp_path / "link"
        out.symlink_to(empty)
    assert make_scenes(out, replace(SMALL, train=1, validation=0, test=0)) == out
    assert empty.stat().st_ino == before
    assert sorted(path.name for path in empty.iterdir()) == ["crop", "cues.csv", "images"]
    assert len(read_cues(empty)) == 1


def test_an_interrupted_run_leaves_an_empty_folder_empty(tmp_path):
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path, SMALL, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(done: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "out", SMALL, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_damaged_cues_are_named(folder, tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        read_cues(tmp_path)
    with (folder / "cues.csv").open(newline="") as handle:
        rows = list(csv.reader(handle))
    rows[3] = rows[3][:7]
    with (tmp_path / "cues.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    with pytest.raises(DataError, match="damaged"):
        read_cues(tmp_path)


@pytest.mark.parametrize("column", ["width", "height", "name"])
def test_cues_that_no_scene_has_are_named(folder, tmp_path, column):
    """An image without pixels, and a cell without end, as a lost quotation mark makes one."""
    with (folder / "cues.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    rows[3][column] = "x" * 200_000 if column == "name" else "0"
    with (tmp_path / "cues.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(DataError, match="damaged"):
        read_cues(tmp_path)


def test_a_run_that_another_overtakes_is_told_so_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def overtake(done: int) -> None:
        if done == 5:
            make_scenes(out, SceneConfig(train=1, validation=0, test=0))

    with pytest.raises(ConfigError, match="out exists already"):
        make_scenes(out, SMALL, progress=overtake)
    assert list(tmp_path.iterdir()) == [out]
    assert len(list(out.rglob("*.png"))) == 1


def test_a_folder_that_another_run_draws_in_is_refused_before_any_work(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "drawing in", "Wait."), pytest.raises(ConfigError, match="another"):
        make_scenes(tmp_path, SceneConfig(train=1))
    assert not list(tmp_path.iterdir())
