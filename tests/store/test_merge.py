"""Stores merged into one: the bytes of a whole run, and what is refused."""

import json
import shutil

import pytest
from small_data_sets import tree, write_image
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.store import merge
from glamor_cli.data.store.merge import merge_stores
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def parts(tmp_path_factory, authors_data_set, run):
    """The data set's splits, each preprocessed on a machine of its own; and the whole."""
    folder = tmp_path_factory.mktemp("parts")
    run(authors_data_set, folder / "train", split="train")
    run(authors_data_set, folder / "test", split="test")
    run(authors_data_set, folder / "whole")
    return folder


def glamor(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_splits_made_apart_merge_to_the_bytes_of_one_run(tmp_path, parts, authors_data_set, run):
    done = glamor("store", "merge", parts / "train", parts / "test", "--out", tmp_path / "merged")
    assert done.exit_code == 0, done.stderr
    assert "merged: 15 pairs of 2 stores" in done.stderr
    assert tree(tmp_path / "merged") == tree(parts / "whole")
    assert run(authors_data_set, tmp_path / "merged").resumed == 15


def test_splits_of_one_name_are_joined_in_order_with_failures_and_soft_labels(tmp_path, run):
    for name in ("b", "a"):
        write_image(tmp_path / name / f"{name}.png", seed=ord(name))
        (tmp_path / name / "manifest.csv").write_text(
            "path,label,Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise\n"
            f"missing_{name}.png,Sad,,,,,,,\n{name}.png,Happy,1,0,0,3,0,0,0\n"
        )
        run(tmp_path / name, tmp_path / f"store_{name}", "whole")
    merged = merge_stores((tmp_path / "store_b", tmp_path / "store_a"), tmp_path / "merged")
    split = merged.split("all")
    assert split.sources == ["b.png", "a.png"]
    assert [entry.source for entry in merged.entries("all")] == [
        "missing_b.png", "b.png", "missing_a.png", "a.png"
    ]  # fmt: skip
    assert split.targets.tolist() == [[0.25, 0, 0, 0.75, 0, 0, 0]] * 2
    assert merged.verify() == 2
    counts = merged.info.counts["all"]
    assert (counts.read, counts.stored, counts.failed) == (4, 2, 2)
    assert merged.info.source["all"].images == 4
    (first,), (second,) = (PairStore.open(tmp_path / f"store_{name}").split("all").faces
                           for name in "ba")  # fmt: skip
    assert (split.faces[0] == first).all()
    assert (split.faces[1] == second).all()


def test_progress_counts_all_splits_together(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(merge, "PROGRESS_ROWS", 1)
    stores, told = (parts / "train", parts / "test"), []
    merge_stores(stores, tmp_path / "merged", on_progress=told.append)
    assert told == list(range(1, merge.total_images(stores) + 1))


def test_a_merge_that_was_stopped_goes_on(tmp_path, parts):
    stores = (parts / "train", parts / "test")
    merged = merge_stores(stores, tmp_path / "merged").path
    whole = tree(merged)
    text = (merged / "store.json").read_text()
    (merged / "store.json").write_text(
        text[: text.index('  "counts"')].replace('"complete": true', '"complete": false')
        + '  "counts": {},\n' + text[text.index('  "detector"') :]
    )  # fmt: skip
    with (merged / "train" / "index.csv").open("r+b") as handle:
        handle.truncate(250)
    merge_stores(stores, merged)
    assert tree(merged) == whole


def test_stores_made_otherwise_are_refused_by_name(tmp_path, parts, authors_data_set, run):
    run(authors_data_set, tmp_path / "whole", "whole")
    with pytest.raises(ConfigError, match="boxes: crop-files, now whole"):
        merge_stores((parts / "train", tmp_path / "whole"), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_images_that_two_stores_have_are_refused_by_name(tmp_path, parts):
    shutil.copytree(parts / "train", tmp_path / "again")
    with pytest.raises(DataError, match=r"both have images/train/Anger/clip_0.007.png in train"):
        merge_stores((parts / "train", tmp_path / "again"), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_other_soft_labels_do_not_make_an_image_another(tmp_path, run):
    write_image(tmp_path / "a.png")
    columns = "path,label,Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise"
    for name, share in (("one", 1), ("two", 2)):
        (tmp_path / f"{name}.csv").write_text(f"{columns}\na.png,Sad,0,0,0,0,{share},1,0\n")
        run(tmp_path / f"{name}.csv", tmp_path / name, "whole")
    with pytest.raises(DataError, match=r"both have a\.png in all"):
        merge_stores((tmp_path / "one", tmp_path / "two"), tmp_path / "merged")


def test_an_image_that_a_manifest_names_twice_is_no_duplicate(tmp_path, run):
    write_image(tmp_path / "a.png")
    for name, rows in (("one", "a.png,Sad\na.png,Fear\n"), ("two", "./a.png,Sad\n")):
        (tmp_path / f"{name}.csv").write_text("path,label\n" + rows)
        run(tmp_path / f"{name}.csv", tmp_path / name, "whole")
    merged = merge_stores((tmp_path / "one", tmp_path / "two"), tmp_path / "merged")
    assert merged.split("all").sources == ["a.png", "a.png", "./a.png"]


def test_images_of_one_name_are_kept_beside_a_store_without_their_split(tmp_path, run):
    stores = []
    for number, split in enumerate(("train", "train", "test")):
        write_image(tmp_path / f"set-{number}" / "Sad" / "1.png", seed=number)
        stores.append(tmp_path / f"store-{number}")
        run(tmp_path / f"set-{number}", stores[-1], "whole", split=split)
    merged = merge_stores(stores, tmp_path / "merged")
    assert {name: len(merged.split(name)) for name in merged.splits} == {"train": 2, "test": 1}


def test_rows_that_an_older_store_lists_and_does_not_hold_are_refused(tmp_path, parts):
    """Its index has no checksum."""
    damaged = shutil.copytree(parts / "train", tmp_path / "damaged")
    values = json.loads((damaged / "store.json").read_text())
    del values["index_sha256"]
    (damaged / "store.json").write_text(json.dumps(values))
    with (damaged / "train" / "index.csv").open("a") as index:
        index.write("9,a.png,Sad,0,0,9,9,,ok,00000000,\n")
    with pytest.raises(DataError, match=r"row 9 of train \(a\.png\) is damaged"):
        merge_stores((damaged, parts / "test"), tmp_path / "merged")


def test_what_cannot_be_merged_is_refused(tmp_path, parts):
    train, test = parts / "train", parts / "test"
    with pytest.raises(ConfigError, match="only one is given"):
        merge_stores((train,), tmp_path / "merged")
    with pytest.raises(ConfigError, match="is one of the stores"):
        merge_stores((train, test), test)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConfigError, match=r"cannot write .*loop"):
        merge_stores((train, test), tmp_path / "loop")
    with pytest.raises(DataError, match="is not a pair store"):
        merge_stores((train, tmp_path), tmp_path / "merged")
    damaged = shutil.copytree(train, tmp_path / "damaged")
    with (damaged / "train" / "contexts.npy").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x07")
    with pytest.raises(DataError, match=r"row 8 of train \(images/train/Surprise/clip_2"):
        merge_stores((damaged, test), tmp_path / "merged")
    relabelled = shutil.copytree(train, tmp_path / "relabelled")
    index = relabelled / "train" / "index.csv"
    index.write_text(index.read_text().replace(",Anger,", ",Sad,"))
    with pytest.raises(DataError, match=r"index\.csv is damaged"):
        merge_stores((relabelled, test), tmp_path / "merged")
