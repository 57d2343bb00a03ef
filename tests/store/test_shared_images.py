"""Images that are in ``train`` and in another split too: counted, and said wherever it matters."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_data_sets import write_image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.store.merge import merge_stores
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.data.store.shared_images import count_copies, count_shared
from glamor_cli.errors import ConfigError


def glamor(*words: object) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return " ".join(done.stderr.split()), done.exception


def write_manifest(folder: Path, lines: str, columns: str = "") -> Path:
    path = folder / "manifest.csv"
    path.write_text(f"path,label,split{columns}\n{lines}")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    for number in range(4):
        write_image(folder / f"{number}.png", seed=number)
    shutil.copy(folder / "0.png", folder / "copy.png")
    return folder


def test_copies_within_the_split_that_train_divides_are_told(tmp_path):
    for number in range(12):
        write_image(tmp_path / "set" / f"{number}.png", seed=number)
        shutil.copy(tmp_path / "set" / f"{number}.png", tmp_path / "set" / f"copy-{number}.png")
    lines = "".join(f"{kind}{number}.png,Sad\n" for number in range(12) for kind in ("", "copy-"))
    manifest = tmp_path / "set" / "manifest.csv"
    manifest.write_text(f"path,label\n{lines}")
    glamor("preprocess", manifest, tmp_path / "pairs", "--boxes", "whole")
    store = PairStore.open(tmp_path / "pairs")
    assert count_copies(store, "all", np.array([0, 4, 5])) == 1
    assert count_copies(store, "all", np.array([0, 1])) == 0
    assert count_copies(store, "all", np.arange(0, 24, 2)) == 12
    said, error = glamor("train", tmp_path / "pairs", "--run", tmp_path / "set")
    assert isinstance(error, ConfigError), "the folder of images is no run"
    assert "2 of the 2 held-out pairs are also in the training pairs under another name" in said


def test_a_manifest_that_lists_images_twice_is_told(images, tmp_path):
    lines = "0.png,Sad,train\n1.png,Sad,train\n0.png,Sad,test\n1.png,Sad,test\n2.png,Sad,test\n"
    manifest = write_manifest(images, lines + "copy.png,Sad,val\n3.png,Sad,val\n")
    said, _ = glamor("preprocess", manifest, tmp_path / "pairs", "--boxes", "whole")
    assert "2 images of test are also in train: figures on test will be too high" in said
    assert "1 image of val is also in train" in said
    said, error = glamor("train", tmp_path / "pairs", "--run", images)
    assert "2 images of test are also in train" in said
    assert isinstance(error, ConfigError), "the folder of images is no run"
    said, _ = glamor("train", tmp_path / "pairs", "--run", images, "--train-split", "val")
    assert "1 image of train is also in val" in said


def test_splits_may_be_named_in_capitals(images, tmp_path):
    manifest = write_manifest(images, "0.png,Sad,Train\n1.png,Sad,Train\n0.png,Sad,Test\n")
    said, _ = glamor("preprocess", manifest, tmp_path / "pairs", "--boxes", "whole")
    assert "1 image of Test is also in Train" in said
    said, _ = glamor("train", tmp_path / "pairs", "--run", images)
    assert "1 image of Test is also in Train" in said


VOTES = ",Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise"


def test_copies_are_told_whatever_votes_they_got(images, tmp_path, run):
    lines = "0.png,Sad,train,0,0,0,0,1,2,0\n1.png,Sad,train,0,0,0,0,0,2,0\n"
    lines += "copy.png,Happy,test,0,0,0,3,1,0,0\n2.png,Sad,test,0,0,0,0,1,2,0\n"
    run(write_manifest(images, lines, VOTES), tmp_path / "pairs", "whole")
    assert count_shared(PairStore.open(tmp_path / "pairs")) == {"test": 1}


@pytest.mark.parametrize("array", ["faces.npy", "contexts.npy"])
def test_pictures_whose_checksums_agree_by_chance_are_different(images, tmp_path, run, array):
    run(write_manifest(images, "0.png,Sad,train\n0.png,Sad,test\n"), tmp_path / "pairs", "whole")
    store = PairStore.open(tmp_path / "pairs")
    assert count_shared(store) == {"test": 1}
    path = tmp_path / "pairs" / "test" / array
    pixels = np.load(path)
    pixels[:, pixels.shape[1] // 2, 0] += 1
    np.save(path, pixels)
    assert count_shared(store) == {}, "the index still has the checksum of both"


def test_an_image_with_another_box_is_the_same_image(images, tmp_path, run):
    """Its context is nearly the same; only within a data set do names tell."""
    lines = "0.png,Sad,train,1,1,20,20\n0.png,Happy,test,9,9,30,30\n1.png,Sad,test,1,1,20,20\n"
    manifest = write_manifest(images, lines, ",x1,y1,x2,y2")
    said, _ = glamor("preprocess", manifest, tmp_path / "pairs", "--boxes", "manifest")
    assert "1 image of test is also in train" in said
    assert count_shared(PairStore.open(tmp_path / "pairs")) == {}


def test_stores_that_share_images_between_their_splits_are_merged_and_told(images, tmp_path, run):
    other = shutil.copytree(images, tmp_path / "other")
    (other / "1.png").unlink()
    write_image(other / "1.png", seed=9)
    for folder, split in ((images, "train"), (other, "validation")):
        lines = f"0.png,Sad,{split}\n1.png,Sad,{split}\n"
        run(write_manifest(folder, lines), tmp_path / split, "whole")
    arguments = (tmp_path / "train", tmp_path / "validation", "--out", tmp_path / "merged")
    said, _ = glamor("store", "merge", *arguments)
    assert "1 image of validation is also in train: figures on validation will be too high" in said


def test_data_sets_that_only_share_names_are_merged(images, tmp_path, run):
    """Both number their images from 0."""
    other = tmp_path / "other"
    write_image(other / "0.png", seed=9)
    for soft in (False, True):
        folders = []
        for folder, share in ((images, 1), (other, 2)):
            name = f"{folder.name}-{soft}"
            line = "0.png,Sad,train" + (f",0,0,0,0,{share},1,0" if soft else "")
            manifest = write_manifest(folder, line + "\n", VOTES if soft else "")
            run(manifest, tmp_path / name, "whole")
            folders.append(tmp_path / name)
        merged = merge_stores(tuple(folders), tmp_path / f"merged-{soft}")
        assert merged.split("train").sources == ["0.png", "0.png"]
        assert merged.verify() == 2
