"""How data sets on disk are recognised and listed."""

import shutil

import pytest
from permissions import bound_by_permissions
from small_data_sets import write_image

from glamor_cli.data.data_sets.data_set import Layout
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.data.preprocess.source_summary import summarise
from glamor_cli.errors import ConfigError, DataError


def listed(data_set, split):
    return [(record.name, record.label) for record in data_set.records(split)]


def test_authors_layout(authors_data_set):
    data_set = open_data_set(authors_data_set)
    assert data_set.layout is Layout.AUTHORS
    assert data_set.splits == ("test", "train")
    assert data_set.find_boxed_splits() == ("test", "train")
    records = list(data_set.records("test"))
    assert [(record.name, record.label, record.split) for record in records] == [
        ("images/test/Anger/clip_0.001.png", "Anger", "test"),
        ("images/test/Anger/clip_1.002.png", "Anger", "test"),
        ("images/test/Happy/clip_0.003.png", "Happy", "test"),
        ("images/test/Happy/clip_1.004.png", "Happy", "test"),
        ("images/test/Surprise/clip_0.005.png", "Surprise", "test"),
        ("images/test/Surprise/clip_1.006.png", "Surprise", "test"),
    ]
    assert all(record.source.is_file() for record in records)


def test_box_file_is_named_up_to_the_first_dot(authors_data_set):
    record = next(open_data_set(authors_data_set).records("train"))
    assert record.name == "images/train/Anger/clip_0.007.png"
    assert record.box_file == authors_data_set / "crop" / "train" / "Anger" / "clip_0.txt"


def test_plain_caer_s(tmp_path):
    write_image(tmp_path / "train" / "Fear" / "0001.png")
    write_image(tmp_path / "test" / "Sad" / "0002.png")
    data_set = open_data_set(tmp_path)
    assert (data_set.layout, data_set.splits) == (Layout.SPLITS, ("test", "train"))
    assert not data_set.find_boxed_splits()
    assert listed(data_set, "test") == [("test/Sad/0002.png", "Sad")]
    assert open_data_set(tmp_path, split="train").splits == ("train",)


def test_class_folders_have_one_split_with_a_name_of_choice(tmp_path):
    write_image(tmp_path / "happiness" / "b.PNG")
    write_image(tmp_path / "happiness" / "a.jpg")
    write_image(tmp_path / "ANGRY" / "c.png")
    data_set = open_data_set(tmp_path)
    assert (data_set.layout, data_set.splits) == (Layout.CLASSES, ("all",))
    expected = [
        ("ANGRY/c.png", "Anger"),
        ("happiness/a.jpg", "Happy"),
        ("happiness/b.PNG", "Happy"),
    ]
    assert listed(data_set, "all") == expected
    assert listed(open_data_set(tmp_path, split="mine"), "mine") == expected


def test_folders_may_be_adjectives(tmp_path):
    named = {
        "disgusted": "Disgust",
        "fearful": "Fear",
        "Surprised": "Surprise",
        "neutral": "Neutral",
    }
    for folder in named:
        write_image(tmp_path / folder / "a.png")
    assert dict(listed(open_data_set(tmp_path), "all")) == {
        f"{folder}/a.png": label for folder, label in named.items()
    }


def test_what_is_no_image_is_passed_over(tmp_path):
    write_image(tmp_path / "Sad" / "face.png")
    for name in ("Thumbs.db", "notes.txt", ".hidden.png", "._face.png"):
        (tmp_path / "Sad" / name).write_bytes(b"x")
    (tmp_path / "README.md").write_text("x")
    (tmp_path / ".cache").mkdir()
    # A zip made on a Mac unpacks to this beside the folders.
    (tmp_path / "__MACOSX" / "Sad").mkdir(parents=True)
    assert listed(open_data_set(tmp_path), "all") == [("Sad/face.png", "Sad")]


def make_unknown_class(root):
    (root / "Happy").mkdir()
    (root / "Contempt").mkdir()


def make_unknown_class_in_split(root):
    (root / "train" / "Happy").mkdir(parents=True)
    (root / "train" / "Contempt").mkdir()


def make_flat_folder(root):
    write_image(root / "a.png")


def make_folder_in_class(root):
    write_image(root / "Happy" / "person" / "a.png")


def make_folder_named_like_an_image(root):
    write_image(root / "Happy" / "clip.jpg" / "a.png")


def make_split_without_classes(root):
    write_image(root / "photos" / "a.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_unknown_class, "Contempt is not named after a class"),
        (make_unknown_class_in_split, "Contempt is not named after a class"),
        (make_flat_folder, "holds no class folders"),
        (make_split_without_classes, "is not named after a class, and holds no class folders"),
        (make_folder_in_class, "is a folder inside a class folder"),
        (make_folder_named_like_an_image, "is a folder inside a class folder"),
    ],
)
def test_other_folders_are_refused_by_name(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        list(open_data_set(tmp_path).records("all"))


@pytest.mark.parametrize("inner", ["train/Happy", "images/train/Happy", "train/1"])
def test_a_folder_around_a_data_set_is_told_to_be_one_too_many(tmp_path, inner):
    write_image(tmp_path / "CAER-S" / inner / "a.png")
    with pytest.raises(DataError, match=r"neither .+CAER-S nor") as error:
        open_data_set(tmp_path)
    assert f"begins in {tmp_path / 'CAER-S'}, give that folder" in error.value.remedy
    assert "Anger, Disgust" in error.value.remedy


def test_missing_and_foreign_sources(tmp_path, authors_data_set):
    with pytest.raises(DataError, match="there is no data set"):
        open_data_set(tmp_path / "nothing")
    write_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="neither a folder nor a manifest"):
        open_data_set(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="no split 'validation'") as error:
        open_data_set(authors_data_set, split="validation")
    assert "test, train" in error.value.remedy


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".hidden", "a\\b", "a\nb", "dot."])
def test_split_that_would_leave_the_store_is_refused(tmp_path, name):
    (tmp_path / "Happy").mkdir()
    with pytest.raises(DataError, match="is not a valid name for a split"):
        open_data_set(tmp_path, split=name)


def test_summary_sees_every_kind_of_change(tmp_path, authors_data_set):
    def summary():
        return summarise(open_data_set(root), box_files=True).splits["test"]

    root = tmp_path / "copy"
    shutil.copytree(authors_data_set, root)
    before = summary()
    assert before == summarise(open_data_set(authors_data_set), box_files=True).splits["test"]
    image = root / "images" / "test" / "Anger" / "clip_0.001.png"
    with image.open("ab") as handle:
        handle.write(b"\0")
    assert summary() != before
    shutil.copy(authors_data_set / "images" / "test" / "Anger" / image.name, image)
    assert summary() == before
    image.rename(image.with_name("clip_0.1.png"))
    assert summary() != before
    (image.with_name("clip_0.1.png")).unlink()
    assert summary().images == before.images - 1


@pytest.mark.parametrize("name", ["set", "list.csv"])
def test_a_data_set_that_may_not_be_read_is_told(tmp_path, name):
    folder = tmp_path / "locked"
    write_image(folder / "set" / "Sad" / "a.png")
    (folder / "list.csv").write_text("path,label\nset/Sad/a.png,Sad\n")
    folder.chmod(0)
    try:
        with bound_by_permissions(), pytest.raises(DataError, match=r"cannot read .*ermission"):
            open_data_set(folder / name)
    finally:
        folder.chmod(0o700)
