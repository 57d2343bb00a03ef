"""From images to stored pairs: values, statuses, and images that cannot be used."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image
from small_data_sets import tree, write_authors_data_set, write_image

from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.options import BoxSource, PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.preprocess.workers import Workers
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import Box, make_pair


def test_stored_pairs_are_the_pairs_of_prediction_rounded(tmp_path, authors_data_set, run):
    report = run(authors_data_set, tmp_path)
    assert (report.read, report.stored, report.no_face, report.failed) == (15, 15, 0, ())
    store = PairStore.open(tmp_path)
    assert store.verify() == 15
    split = store.split("train")
    records = list(open_data_set(authors_data_set).records("train"))
    assert split.sources == [record.name for record in records]
    assert [split.classes[label] for label in split.labels] == [r.label for r in records]
    faces, contexts = split.pairs(np.array([8, 0, 3]))
    for row, face, context in zip((8, 0, 3), faces, contexts, strict=True):
        pair = make_pair(read_image(records[row].source), Box(*map(int, split.boxes[row])))
        np.testing.assert_allclose(face, pair.face, atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(context, pair.context, atol=0.5 / 255 + 1e-6)
    assert np.isnan(split.scores).all()
    assert split.targets is None


def test_folders_may_be_named_by_text(tmp_path, authors_data_set):
    source, out = str(authors_data_set), str(tmp_path / "store")
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    preprocess(PreprocessConfig(source, out, making, workers=1))
    names = {record.name for record in open_data_set(source).records("train")}
    assert set(PairStore.open(out).split("train").sources) == names


def test_every_way_of_running_gives_the_same_bytes(tmp_path, authors_data_set, run):
    run(authors_data_set, tmp_path / "here")
    making = PairMaking(boxes=BoxSource.CROP_FILES)
    pooled = PreprocessConfig(
        authors_data_set, tmp_path / "pool", making, workers=2, images_per_task=2
    )
    seen = []
    preprocess(pooled, on_progress=seen.append)
    assert [progress.read for progress in seen][-1] == 15
    with ThreadPoolExecutor(3) as executor:
        threads = PreprocessConfig(authors_data_set, tmp_path / "threads", making)
        preprocess(threads, workers=Workers(executor, lambda: 3))
    assert tree(tmp_path / "pool") == tree(tmp_path / "here")
    assert tree(tmp_path / "threads") == tree(tmp_path / "here")


UNGUARDED = """
import sys
from pathlib import Path
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.errors import GlamorError
try:
    preprocess(PreprocessConfig(Path(sys.argv[1]), Path(sys.argv[2]), workers=2))
except GlamorError as error:
    print(error.what, error.remedy, sep="\\n")
"""


def test_a_script_without_a_guard_is_told_of_it_once(tmp_path, authors_data_set):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    said = run_script(script, authors_data_set, tmp_path / "store")
    assert said.stderr == ""
    what, remedy = said.stdout.splitlines()
    assert 'without `if __name__ == "__main__":`' in what
    assert "workers=1" in remedy


def test_a_program_from_standard_input_is_told_that_workers_cannot_begin(
    tmp_path, authors_data_set
):
    said = run_script("-", authors_data_set, tmp_path / "store", input=UNGUARDED)
    assert said.stderr == ""
    what, remedy = said.stdout.splitlines()
    assert "not in a file" in what
    assert "workers=1" in remedy


DAEMONIC = """
import sys
from multiprocessing import get_context
from pathlib import Path
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.errors import ConfigError

def make(workers):
    try:
        report = preprocess(PreprocessConfig(Path(sys.argv[1]), Path(sys.argv[2]), workers=workers))
    except ConfigError as error:
        return f"{error.what} {error.remedy}"
    return str(report.stored)

if __name__ == "__main__":
    with get_context("spawn").Pool(1) as pool:
        print(*pool.map(make, [2, 1]), sep="\\n")
"""


def test_a_worker_of_another_pool_is_told_to_work_alone(tmp_path, authors_data_set):
    """Python lets it have no children, and says so without a way out."""
    script = tmp_path / "script.py"
    script.write_text(DAEMONIC)
    refused, stored = run_script(script, authors_data_set, tmp_path / "store").stdout.splitlines()
    assert "daemonic process" in refused
    assert "workers=1" in refused
    assert int(stored) > 0


def run_script(*arguments, **options):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options)


def test_detected_boxes_do_not_depend_on_how_images_are_grouped(tmp_path):
    """A resumed run groups them otherwise, and so does another number of workers."""
    face = Image.fromarray(skimage.data.astronaut()[:300, 80:380])
    for number in range(5):
        image = Image.new("RGB", (360, 320), (20 * number, 90, 120))
        image.paste(face.resize((220 + 9 * number,) * 2), (10 * number, 5))
        path = tmp_path / "set" / "Happy" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, compress_level=1)
    for size in (1, 2, 5):
        out = tmp_path / f"store{size}"
        preprocess(PreprocessConfig(tmp_path / "set", out, workers=1, images_per_task=size))
        assert tree(out) == tree(tmp_path / "store1")
    assert PairStore.open(out).info.counts["all"].no_face == 0


def test_what_cannot_work_is_named(tmp_path, authors_data_set):
    with pytest.raises(ConfigError, match="images per task must be at least 1, not 0"):
        preprocess(PreprocessConfig(authors_data_set, tmp_path / "out", images_per_task=0))
    with pytest.raises(ConfigError, match="the number of workers must be at least 1, not 0"):
        preprocess(PreprocessConfig(authors_data_set, tmp_path / "out", workers=0))
    assert not (tmp_path / "out").exists()


def test_detected_faces_and_images_without_one(tmp_path, run):
    """The one test with the real detector: a photograph, a plain wall, a photograph."""
    source = tmp_path / "set"
    (source / "Happy").mkdir(parents=True)
    photograph = Image.fromarray(skimage.data.astronaut())
    photograph.save(source / "Happy" / "a.jpg")
    Image.new("RGB", (300, 200), (90, 90, 90)).save(source / "Happy" / "b.png")
    photograph.resize((256, 256)).save(source / "Happy" / "c.png")
    report = run(source, tmp_path / "store", "detect")
    assert (report.read, report.stored, report.no_face, report.failed) == (3, 3, 1, ())
    store = PairStore.open(tmp_path / "store")
    split = store.split("all")
    assert store.info.detector == "centerface"
    assert store.info.detector_settings
    x1, y1, x2, y2 = split.boxes[0]
    assert x1 < 224 < x2  # The eyes and the mouth of the astronaut.
    assert y1 < 100 < 150 < y2
    np.testing.assert_allclose(split.boxes[2], split.boxes[0] / 2, atol=6)
    assert split.scores[0] > 0.5
    assert np.isnan(split.scores[1])
    assert list(split.boxes[1]) == [0, 0, 0, 0]
    assert not split.faces[1].any()
    assert (split.contexts[1] == 90).all()
    assert [entry.status for entry in store.entries("all")] == ["ok", "no_face", "ok"]

    skipping = run(source, tmp_path / "skipping", "detect", skip_no_face=True)
    assert (skipping.read, skipping.stored, skipping.no_face) == (3, 2, 1)
    skipped = PairStore.open(tmp_path / "skipping").split("all")
    assert skipped.sources == ["Happy/a.jpg", "Happy/c.png"]
    np.testing.assert_array_equal(skipped.faces[1], split.faces[2])


def test_whole_images_have_no_context(tmp_path, run):
    write_image(tmp_path / "set" / "Sad" / "a.png", seed=3, height=96, width=96)
    run(tmp_path / "set", tmp_path / "store", "whole")
    split = PairStore.open(tmp_path / "store").split("all")
    np.testing.assert_array_equal(split.faces[0], read_image(tmp_path / "set" / "Sad" / "a.png"))
    assert not split.contexts.any()
    assert list(split.boxes[0]) == [0, 0, 96, 96]


def test_soft_labels_are_stored(tmp_path, run):
    for name in "abc":
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise\n"
        "a.png,Sad,1,0,0,0,0,3,0\nmissing.png,Sad,1,1,1,1,1,1,1\nb.png,Fear,,,,,,,\n"
    )
    run(tmp_path, tmp_path / "store", "whole")
    store = PairStore.open(tmp_path / "store")
    expected = [[0.25, 0, 0, 0, 0, 0.75, 0], [0, 0, 1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(store.split("all").targets, expected)
    assert store.verify() == 2


def test_images_that_cannot_be_used_are_reported_and_passed_over(tmp_path, run):
    source = write_authors_data_set(tmp_path / "set", {"train": 3})
    images, crops = source / "images" / "train", source / "crop" / "train"
    (images / "Anger" / "clip_1.002.png").write_text("this is no image")
    whole = (images / "Anger" / "clip_2.003.png").read_bytes()
    (images / "Anger" / "clip_2.003.png").write_bytes(whole[: len(whole) // 2])
    (crops / "Happy" / "clip_0.txt").unlink()
    (crops / "Happy" / "clip_1.txt").write_text("1.5,2,30,40")
    (crops / "Happy" / "clip_2.txt").write_text("60,60,70,70")
    (crops / "Surprise" / "clip_0.txt").write_text("0,0,0,0")
    report = run(source, tmp_path / "store")
    assert (report.read, report.stored, report.no_face) == (9, 4, 1)
    reasons = {failure.source.split("train/")[1]: failure.reason for failure in report.failed}
    assert list(reasons) == [
        "Anger/clip_1.002.png",
        "Anger/clip_2.003.png",
        "Happy/clip_0.004.png",
        "Happy/clip_1.005.png",
        "Happy/clip_2.006.png",
    ]
    assert "is not an image" in reasons["Anger/clip_1.002.png"]
    assert "cannot be decoded" in reasons["Anger/clip_2.003.png"]
    assert "cannot read the box file" in reasons["Happy/clip_0.004.png"]
    assert "does not hold a box x1,y1,x2,y2 in whole pixels" in reasons["Happy/clip_1.005.png"]
    assert "is empty inside an image" in reasons["Happy/clip_2.006.png"]
    store = PairStore.open(tmp_path / "store")
    assert len(store.split("train")) == store.verify() == 4
    again = run(source, tmp_path / "store")
    assert again.failed == report.failed
    assert again.resumed == 9


def test_spaces_around_a_name_are_seen_in_the_reason(tmp_path, run):
    (tmp_path / "list.csv").write_text("path,label\n 003.png,Sad\n004.png ,Sad\n005.png,Sad\n")
    report = run(tmp_path / "list.csv", tmp_path / "store", "whole")
    shown = [failure.reason for failure in report.failed]
    assert shown == [f"there is no file {name}" for name in ("' 003.png'", "'004.png '", "005.png")]


def test_boxes_count_in_the_upright_picture(tmp_path, run):
    """Turned, the picture of 60x20 pixels has 20x60, and a box for the other misses it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (20, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1).copy()).save(tmp_path / "upright.png")
    lines = ["path,label,x1,y1,x2,y2"]
    for name in ("turned.png", "upright.png"):
        lines += [f"{name},Sad,2,30,18,50", f"{name},Sad,30,2,50,18"]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    report = run(tmp_path / "list.csv", tmp_path / "store", "manifest")
    turned, upright = PairStore.open(tmp_path / "store").split("all").faces
    np.testing.assert_array_equal(turned, upright)
    missed = "the box (30, 2, 50, 18) is empty inside an image of 20x60 pixels"
    expected = [f"{missed}, turned upright by its EXIF", missed]
    assert [failure.reason for failure in report.failed] == expected


def test_a_split_of_rotten_files_alone_is_empty_but_there(tmp_path, run):
    for name in ("train", "test"):
        write_image(tmp_path / "set" / name / "Sad" / "a.png")
    (tmp_path / "set" / "test" / "Sad" / "a.png").write_bytes(b"rotten")
    report = run(tmp_path / "set", tmp_path / "store", "whole")
    assert (report.stored, len(report.failed)) == (1, 1)
    split = PairStore.open(tmp_path / "store").split("test")
    assert len(split) == 0
    assert split.pairs(slice(None))[0].shape == (0, 3, 96, 96)
    assert np.load(tmp_path / "store" / "test" / "faces.npy").shape == (0, 96, 96, 3)


def test_strange_names_come_back_as_they_are(tmp_path, run):
    names = [
        "plain.png",
        'comma, "quoted".png',
        "two\nlines.png",
        "back\\slash\\n.png",
        "smile\u263a\u2028.png",
        b"byte\xff.png".decode("utf-8", "surrogateescape"),
    ]
    write_image(tmp_path / "a.png")
    (tmp_path / "set" / "Sad").mkdir(parents=True)
    for name in names:
        shutil.copy(tmp_path / "a.png", tmp_path / "set" / "Sad" / name)
    report = run(tmp_path / "set", tmp_path / "store", "whole")
    assert report.stored == len(names)
    sources = PairStore.open(tmp_path / "store").split("all").sources
    assert sources == sorted(f"Sad/{name}" for name in names)
    index = (tmp_path / "store" / "all" / "index.csv").read_text(encoding="utf-8")
    assert index.count("\n") == 1 + len(names)


def test_official_jpeg_is_used_and_recorded(tmp_path, authors_data_set, run):
    run(authors_data_set, tmp_path / "plain")
    run(authors_data_set, tmp_path / "jpeg", official_jpeg=True)
    plain, jpeg = PairStore.open(tmp_path / "plain"), PairStore.open(tmp_path / "jpeg")
    assert jpeg.info.official_jpeg
    np.testing.assert_array_equal(jpeg.split("test").faces, plain.split("test").faces)
    difference = jpeg.split("test").contexts - plain.split("test").contexts.astype(int)
    assert difference.any()


@pytest.mark.parametrize("boxes", ["crop-files", "manifest"])
def test_boxes_that_are_not_there_are_refused(tmp_path, run, boxes):
    write_image(tmp_path / "set" / "Sad" / "a.png")
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "set", tmp_path / "store", boxes)
    assert "--boxes detect" in error.value.remedy
    assert not (tmp_path / "store").exists()


def test_a_row_without_a_box_fails_alone(tmp_path, run):
    write_image(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,x1,y1,x2,y2\na.png,Sad,1,2,30,30\na.png,Sad,,,,\n"
    )
    report = run(tmp_path, tmp_path / "store", "manifest")
    assert report.stored == 1
    assert [failure.reason for failure in report.failed] == ["no box is given for a.png"]


def test_boxes_left_of_and_above_an_image_are_no_faces(tmp_path, run):
    """They clip to 0,0,0,0, which is what the authors' program takes for no face."""
    write_image(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text(
        "path,label,x1,y1,x2,y2\na.png,Sad,1,2,30,30\na.png,Sad,-30,-20,0,0\na.png,Sad,-9,-9,-1,-1\n"
    )
    report = run(tmp_path, tmp_path / "store", "manifest")
    assert (report.stored, report.no_face) == (3, 2)
    split = PairStore.open(tmp_path / "store").split("all")
    assert split.boxes.tolist() == [[1, 2, 30, 30], [0] * 4, [0] * 4]
    assert not split.faces[1:].any()
    assert run(tmp_path, tmp_path / "faces", "manifest", skip_no_face=True).stored == 1


def test_a_detectors_settings_make_a_store_another(tmp_path, run):
    """A run is not to go on with faces that are framed otherwise."""
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text("path,label\na.png,Happy\n")
    run(tmp_path, tmp_path / "store", "detect")
    info = PairStore.open(tmp_path / "store").info
    assert info.detector_settings
    assert replace(info, versions={}).identity == info.identity
    for name in info.detector_settings:
        other = replace(info, detector_settings=info.detector_settings | {name: "other"})
        assert other.identity != info.identity


def test_empty_data_set(tmp_path, run):
    (tmp_path / "set" / "Happy").mkdir(parents=True)
    (tmp_path / "set" / "Happy" / "0001.avi").touch()
    with pytest.raises(DataError, match="holds no images") as error:
        run(tmp_path / "set", tmp_path / "store", "whole")
    assert "of videos, save single frames" in error.value.remedy
    assert not (tmp_path / "store").exists()


def test_nothing_in_the_store_depends_on_where_the_data_set_is(tmp_path, authors_data_set, run):
    shutil.copytree(authors_data_set, tmp_path / "elsewhere")
    run(authors_data_set, tmp_path / "first")
    run(tmp_path / "elsewhere", tmp_path / "second")
    assert tree(tmp_path / "first") == tree(tmp_path / "second")
    info = json.loads((tmp_path / "first" / "store.json").read_text())
    assert info["counts"]["train"] == {"read": 9, "stored": 9, "no_face": 0, "failed": 0}


@pytest.mark.parametrize("layout", ["train/Happy", "Happy", "images/Happy"])
def test_a_store_inside_of_the_images_is_refused_before_it_is_begun(tmp_path, run, layout):
    """As a class or split of the data set it would keep every later run from starting."""
    write_image(tmp_path / layout / "a.png")
    within = tmp_path / "images" if layout.startswith("images") else tmp_path
    before = list(within.iterdir())
    for out in (within, within / "pairs"):
        with pytest.raises(ConfigError, match="would lie inside the data set"):
            run(tmp_path, out, "whole")
    assert list(within.iterdir()) == before


@pytest.mark.parametrize(
    ("image", "split"), [("images/train/Happy", None), ("train/Happy", "train")]
)
def test_a_store_beside_the_images_can_be_resumed(tmp_path, run, image, split):
    write_image(tmp_path / image / "a.png")
    assert run(tmp_path, tmp_path / "pairs", "whole", split=split).resumed == 0
    assert run(tmp_path, tmp_path / "pairs", "whole", split=split).resumed == 1
