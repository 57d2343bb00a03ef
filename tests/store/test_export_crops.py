"""A store turned back into the authors' box files."""

import shutil
import sys

import pytest
from little_room import run_with_little_room
from small_data_sets import tree, write_image

from glamor_cli.data.store.export_crops import export_crops
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import DataError
from glamor_cli.vision.pairs import Box


def test_both_directions_convert(tmp_path, authors_data_set, run):
    """Their layout to a store, its boxes to their layout, and that to a store: all as before."""
    first, second, copy = tmp_path / "first", tmp_path / "second", tmp_path / "copy"
    run(authors_data_set, first)
    assert export_crops(PairStore.open(first), copy) == 15
    assert tree(copy / "crop") == tree(authors_data_set / "crop")
    shutil.copytree(authors_data_set / "images", copy / "images")
    run(copy, second)
    assert tree(second) == tree(first)


def test_images_without_a_face_that_the_store_left_out_get_their_mark(tmp_path, run):
    """Without it, the boxes would say less than the store, and their images would fail."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    for name, box in (("a", "3,5,30,33"), ("b", "0,0,0,0")):
        write_image(source / "images" / "test" / "Sad" / f"{name}.png")
        (source / "crop" / "test" / "Sad").mkdir(parents=True, exist_ok=True)
        (source / "crop" / "test" / "Sad" / f"{name}.txt").write_text(box + "\n")
    first = run(source, tmp_path / "first", skip_no_face=True)
    assert (first.stored, first.no_face) == (1, 1)
    assert export_crops(PairStore.open(tmp_path / "first"), copy) == 2
    assert tree(copy / "crop") == tree(source / "crop")
    shutil.copytree(source / "images", copy / "images")
    run(copy, tmp_path / "second", skip_no_face=True)
    assert tree(tmp_path / "second") == tree(tmp_path / "first")


@pytest.mark.parametrize(
    ("images", "boxes"),
    [
        ("images/train/ANGRY", "crop/train/ANGRY"),
        ("train/happiness", "crop/train/happiness"),
        ("images/happiness", "crop/happiness"),
        ("Sad", "crop/Sad"),
    ],
)
def test_exported_boxes_are_found_again(tmp_path, run, images, boxes):
    """Whatever the class folders are called, and with splits or without."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    write_image(source / images / "a.png")
    (source / boxes).mkdir(parents=True)
    (source / boxes / "a.txt").write_text("3,5,30,33\n")
    assert run(source, tmp_path / "first").stored == 1
    write_image(copy / images / "a.png")
    assert export_crops(PairStore.open(tmp_path / "first"), copy) == 1
    run(copy, tmp_path / "second")
    (split,) = PairStore.open(tmp_path / "first").splits
    (first,) = PairStore.open(tmp_path / "first").entries(split)
    (second,) = PairStore.open(tmp_path / "second").entries(split)
    assert first == second
    assert second.box == Box(3, 5, 30, 33)


def test_images_that_share_a_box_file_must_share_the_box(tmp_path, run):
    write_image(tmp_path / "set" / "a.1.png")
    write_image(tmp_path / "set" / "a.2.png")
    manifest = tmp_path / "set" / "manifest.csv"
    manifest.write_text("path,label,x1,y1,x2,y2\na.1.png,Sad,1,2,9,9\na.2.png,Sad,1,2,9,8\n")
    run(manifest, tmp_path / "store", "manifest")
    with pytest.raises(DataError, match=r"'a\.2\.png' shares the box file all/Sad/a\.txt"):
        export_crops(PairStore.open(tmp_path / "store"), tmp_path / "out")
    # The first alone would pass for the box of both when the images are preprocessed again.
    assert not (tmp_path / "out").exists()


def test_other_boxes_are_kept_and_none_is_put_beside_them(tmp_path, authors_data_set, run):
    run(authors_data_set, tmp_path / "store")
    last = sorted(tree(authors_data_set / "crop"))[-1]
    (tmp_path / "out" / "crop" / last).parent.mkdir(parents=True)
    (tmp_path / "out" / "crop" / last).write_text("1,2,3,4\n")
    before = tree(tmp_path / "out")
    with pytest.raises(DataError, match="already exists and holds another box"):
        export_crops(PairStore.open(tmp_path / "store"), tmp_path / "out")
    assert tree(tmp_path / "out") == before


def test_names_cannot_lead_out_of_the_folder(tmp_path, run):
    write_image(tmp_path / "evil.png")
    source = tmp_path / "set" / "manifest.csv"
    source.parent.mkdir()
    source.write_text("path,label,x1,y1,x2,y2\n../set/../evil.png,Sad,1,2,9,9\n")
    run(source, tmp_path / "store", "manifest")
    export_crops(PairStore.open(tmp_path / "store"), tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["crop/all/Sad/evil.txt"]


def test_a_store_cannot_lead_out_of_the_folder(tmp_path, authors_data_set, run):
    """Names and labels of an index that somebody else wrote."""
    run(authors_data_set, tmp_path / "a" / "store")
    index = tmp_path / "a" / "store" / "train" / "index.csv"
    whole = index.read_bytes()
    before = set(tmp_path.rglob("*"))
    index.write_bytes(whole.replace(b"images/train/Anger/clip_0", b"../../../clip_0"))
    export_crops(PairStore.open(tmp_path / "a" / "store"), tmp_path / "a" / "out")
    index.write_bytes(whole.replace(b",Anger,", b",../../Anger,"))
    with pytest.raises(DataError, match=r"unknown class .*Anger"):
        export_crops(PairStore.open(tmp_path / "a" / "store"), tmp_path / "a" / "out")
    new = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "a" / "out") for path in new)


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, authors_data_set, run):
    run(authors_data_set, tmp_path / "store")
    done = run_with_little_room(3, "store", "export-crops", tmp_path / "store", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "cannot write" in done.stderr.splitlines()[0]
    assert not tree(tmp_path / "out")
