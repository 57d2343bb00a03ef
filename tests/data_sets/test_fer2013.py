"""FER2013's arrays become images and a manifest: generated arrays of the real form."""

import csv
import shlex
import signal
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from little_room import run_with_little_room
from PIL import Image
from small_data_sets import tree
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.data.data_sets.fer2013 import Fer2013Report, convert_fer2013
from glamor_cli.data.data_sets.layouts import open_data_set
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.labels import EMOTIONS

VOTES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
         "contempt", "unknown", "NF"]  # fmt: skip


def arrays(duplicates):
    votes = np.zeros((4, 10), np.uint8)
    votes[0, [0, 1, 7]] = 6, 2, 2
    votes[1, 8] = 10
    votes[2, 4] = votes[3, 4] = 10
    return {
        "images": np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8),
        "labels": np.array([5, 1, 0, 0], np.uint8),
        "names": np.array(["sad/x_1.jpg", "disgust/x_1.jpg", "angry/x_3.jpg", "angry/../x_4.jpg"]),
        "classes": np.array(EMOTIONS),
        "ferplus_classes": np.array(VOTES),
        "ferplus_votes": votes,
        "lossless": np.array([True, True, False, True]),
        duplicates: np.array([False, False, False, True]),
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "npz" / "train.npz", **arrays("duplicate_of_evaluation"))
    np.savez(tmp_path / "npz" / "validation.npz", **arrays("duplicate_of_train"))
    return tmp_path / "npz"


def test_images_labels_and_mixed_votes(folder, tmp_path):
    reports = convert_fer2013(folder, tmp_path / "out")
    expected = Fer2013Report(written=2, duplicates=1, lossy=1)
    assert reports == {"train": expected, "validation": expected}
    data_set = open_data_set(tmp_path / "out")
    assert data_set.splits == ("train", "validation")
    sad, disgust = data_set.records("train")
    assert (sad.label, disgust.label) == ("Sad", "Disgust")
    # Half of 6 of 8 usable votes for Neutral, 2 of 8 for Happy; half the label.
    assert sad.targets == (0, 0, 0, 0.125, 0.375, 0.5, 0)
    assert disgust.targets == (0, 1, 0, 0, 0, 0, 0)
    with Image.open(sad.source) as image:
        np.testing.assert_array_equal(image, arrays("x")["images"][0])
    assert len(tree(tmp_path / "out")) == 5


def test_votes_share(folder, tmp_path):
    convert_fer2013(folder, tmp_path / "votes", votes_share=1)
    sad = next(open_data_set(tmp_path / "votes").records("train"))
    assert sad.targets == (0, 0, 0, 0.25, 0.75, 0, 0)
    with pytest.raises(ConfigError, match="share must be from 0 to 1"):
        convert_fer2013(folder, tmp_path / "out", votes_share=1.5)


def test_votes_may_be_shares(folder, tmp_path):
    counted = arrays("duplicate_of_evaluation")
    shares = counted["ferplus_votes"] / 10
    # Two thirds of the votes are for none of the seven classes.
    shares[0, [0, 1, 7]] = 0.25, 0.08, 0.67
    np.savez(folder / "train.npz", **counted | {"ferplus_votes": shares})
    convert_fer2013(folder, tmp_path / "out")
    sad = next(open_data_set(tmp_path / "out").records("train"))
    assert sad.targets[5] == pytest.approx(0.5)


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_is_unpacked(folder, tmp_path):
    path = folder / "validation.npz"
    content = bytearray(path.read_bytes())
    # Where the archive's list of contents says how large the first file is.
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 2_000_000_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"validation\.npz: it unpacks to 2\d{9} bytes"):
        convert_fer2013(folder, tmp_path / "out")


def test_the_command(folder, tmp_path):
    words = ["fer2013", str(folder), str(tmp_path / "labels"), "--votes-share", "0"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    for split in ("train", "validation"):
        assert f"{split}: 2 images; left out 1 copies from another split, 1 lossy" in done.stderr
    labels = shlex.quote(str(tmp_path / "labels"))
    assert f"glamor preprocess {labels} STORE --boxes whole" in done.stderr
    sad = next(open_data_set(tmp_path / "labels").records("train"))
    assert sad.targets == (0, 0, 0, 0, 0, 1, 0)
    # Without the option, votes count for half.
    words[2:] = [str(tmp_path / "mixed")]
    assert CliRunner().invoke(app, words).exit_code == 0
    sad = next(open_data_set(tmp_path / "mixed").records("train"))
    assert sad.targets == (0, 0, 0, 0.125, 0.375, 0.5, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such names")
def test_a_carriage_return_in_a_name_ends_no_row(folder, tmp_path):
    names = np.array(["sad/x\r1.jpg"] * 4)
    np.savez(folder / "train.npz", **(arrays("duplicate_of_evaluation") | {"names": names}))
    convert_fer2013(folder, tmp_path / "out")
    records = open_data_set(tmp_path / "out").records("train")
    assert [record.source.is_file() for record in records] == [True, True]


def test_a_lacking_file_is_told_before_an_image_is_written(folder, tmp_path):
    (folder / "validation.npz").unlink()
    with pytest.raises(DataError, match=r"cannot read .*validation\.npz: No such file"):
        convert_fer2013(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"cannot read [^\[']*train\.npz: No such file"):
        convert_fer2013(tmp_path, tmp_path / "out")
    path = folder / "train.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match=r"cannot read .*train\.npz"):
        convert_fer2013(folder, tmp_path / "out")
    for change in (
        {"classes": np.array(EMOTIONS[::-1])},
        {"images": np.zeros((4, 48, 47), np.uint8)},
        {"labels": np.array([7, 0, 0, 0], np.uint8)},
        {"labels": np.array([5, 1, 0, -1])},
        {"labels": np.array([5.0, 1.0, 0.0, 0.0])},
        {"labels": np.array(5)},
        {"classes": np.array("Anger")},
        {"lossless": np.ones(3, bool)},
        {"ferplus_classes": np.array(["x"] * 10)},
        {"ferplus_votes": np.full((4, 10), "many")},
        {"ferplus_votes": np.full((4, 10), np.inf)},
        {"ferplus_votes": np.full((4, 10), -1)},
        {"names": np.array(["sad/x\0y.jpg"] * 4)},
    ):
        np.savez(path, **(arrays("duplicate_of_evaluation") | change))
        with pytest.raises(DataError, match="expected form"):
            convert_fer2013(folder, tmp_path / "out")
    np.savez(path, **(arrays("duplicate_of_evaluation") | {"names": np.array([{}] * 4)}))
    with pytest.raises(DataError, match="cannot read"):
        convert_fer2013(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("offset", "value"),
    [(8, 14), (8, 99), (6, 1)],
    ids=["packed otherwise", "packed as nobody does", "encrypted"],
)
def test_damaged_archives_are_refused(folder, tmp_path, offset, value):
    """Each changes a field of the first member, in both places where an archive has it."""
    path = folder / "train.npz"
    np.savez_compressed(path, **arrays("duplicate_of_evaluation"))
    whole = bytearray(path.read_bytes())
    whole[offset] = value
    whole[whole.index(b"PK\x01\x02") + offset + 2] = value
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"cannot read .*train\.npz"):
        convert_fer2013(folder, tmp_path / "out")


def test_damaged_contents_of_archives_are_refused(folder, tmp_path):
    path = folder / "train.npz"
    np.savez_compressed(path, **arrays("duplicate_of_evaluation"))
    whole = bytearray(path.read_bytes())
    start = whole.index(b"images.npy") + 30
    whole[start : start + 40] = b"\xff" * 40
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"cannot read .*train\.npz"):
        convert_fer2013(folder, tmp_path / "out")


def test_a_manifest_of_other_images_is_kept(folder, tmp_path):
    other = tmp_path / "out" / "manifest.csv"
    other.parent.mkdir()
    other.write_text("path,label\na.png,Sad\n")
    with pytest.raises(ConfigError, match=r"manifest\.csv is a manifest of other images"):
        convert_fer2013(folder, tmp_path / "out")
    assert tree(tmp_path / "out") == {"manifest.csv": b"path,label\na.png,Sad\n"}
    # Its own is replaced.
    convert_fer2013(folder, tmp_path / "again")
    before = tree(tmp_path / "again")
    convert_fer2013(folder, tmp_path / "again", votes_share=0)
    assert tree(tmp_path / "again") != before


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit on files' sizes")
def test_a_full_disk_is_told_and_leaves_no_half_image(folder, tmp_path):
    done = run_with_little_room(1000, "fer2013", folder, tmp_path / "out")
    assert done.returncode == ConfigError.exit_code, done.stderr
    assert "cannot write" in done.stderr.splitlines()[0]
    assert not tree(tmp_path / "out")


def test_the_real_files_hold_what_their_description_says(tmp_path):
    real = Path(__file__).resolve().parents[2] / "../shared/data/fer2013"
    if not real.is_dir():
        pytest.skip("FER2013 is not beside this checkout")
    with np.load(real / "validation.npz", allow_pickle=False) as archive:
        small = {
            name: archive[name] if name.endswith("classes") else archive[name][:60]
            for name in archive.files
        }
    np.savez(tmp_path / "validation.npz", **small)
    train = {**small, "duplicate_of_evaluation": small["duplicate_of_train"]}
    np.savez(tmp_path / "train.npz", **train)
    reports = convert_fer2013(tmp_path, tmp_path / "out")
    usable = small["lossless"] & ~small["duplicate_of_train"]
    assert reports["validation"].written == usable.sum() > 0
    with (tmp_path / "out" / "manifest.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert all(abs(sum(float(row[name]) for name in EMOTIONS) - 1) < 1e-4 for row in rows)


def test_ctrl_c_leaves_no_half_image(folder, tmp_path, monkeypatch):
    save = Image.Image.save

    def stop_within(image, path, kind):
        path.write_bytes(b"half of it")
        signal.raise_signal(signal.SIGINT)
        save(image, path, kind)

    monkeypatch.setattr(Image.Image, "save", stop_within)
    with pytest.raises(KeyboardInterrupt):
        convert_fer2013(folder, tmp_path / "out")
    (written,) = (tmp_path / "out").rglob("*.png")
    with Image.open(written) as image:
        image.load()
