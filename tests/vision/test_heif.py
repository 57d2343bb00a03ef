"""HEIC photographs: read as other files are with the extra, and without it, how to get it."""

import io
import json
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut
from small_data_sets import tree

from glamor_cli.data.options import PairMaking
from glamor_cli.data.preprocess.run import PreprocessConfig, preprocess
from glamor_cli.data.store.merge import merge_stores
from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import DataError
from glamor_cli.vision import images
from glamor_cli.vision.heif import is_heif
from glamor_cli.vision.image_files import list_images
from glamor_cli.vision.images import count_pixels, is_turned, read_image

pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")

WITHOUT_THE_EXTRA = """
import sys
sys.modules["pillow_heif"] = None
from glamor_cli.__main__ import main
main()
"""


@pytest.fixture(scope="module", autouse=True)
def _writes_heif():
    pillow_heif.register_heif_opener()


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "IMG_0001.HEIC"
    Image.fromarray(astronaut()).save(path, "HEIF", quality=90)
    return path


def test_pixels_are_those_of_the_picture(photograph):
    pixels = read_image(photograph)
    assert (pixels.shape, pixels.dtype) == ((512, 512, 3), np.uint8)
    assert np.abs(pixels.astype(int) - astronaut()).mean() < 3
    assert count_pixels(photograph) == 512 * 512
    with photograph.open("rb") as file:
        np.testing.assert_array_equal(read_image(file), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright_as_jpegs_are(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(astronaut()[:200, :300])
    for name in ("a.heic", "a.jpg"):
        # As bytes, of which the HEIF file's own rotation is made, as phones write it.
        image.save(tmp_path / name, quality=95, exif=exif.tobytes())
    heif, jpeg = (read_image(tmp_path / name).astype(int) for name in ("a.heic", "a.jpg"))
    assert heif.shape == jpeg.shape
    assert np.abs(heif - jpeg).mean() < 3
    assert is_turned(tmp_path / "a.heic") == is_turned(tmp_path / "a.jpg") == (orientation > 1)


def test_transparent_pixels_are_black(tmp_path):
    rgba = np.full((64, 64, 4), 255, np.uint8)
    rgba[:32, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.heic", quality=95)
    pixels = read_image(tmp_path / "a.heic")
    assert pixels[:24].max() < 16
    assert pixels[40:].min() > 240


def test_gray_has_three_equal_channels(tmp_path):
    Image.fromarray(astronaut()).convert("L").save(tmp_path / "a.heic", quality=95)
    pixels = read_image(tmp_path / "a.heic")
    assert pixels.shape == (512, 512, 3)
    assert np.ptp(pixels, axis=2).max() <= 2


def test_the_container_alone_makes_none(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "a.avif")
    with (tmp_path / "a.avif").open("rb") as file:
        assert not is_heif(file)
    assert read_image(tmp_path / "a.avif").shape == (512, 512, 3)
    # The kind may stand among the compatible brands only.
    assert is_heif(io.BytesIO(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic"))
    assert not is_heif(io.BytesIO(b"\0\0\0\x14ftypmif1\0\0\0\0mif1heic"))
    for head in (b"", b"\0\0\0\x18ftyp", b"heic" * 8):
        assert not is_heif(io.BytesIO(head))


def test_damaged_pictures_are_refused_with_their_name(photograph, tmp_path):
    whole = photograph.read_bytes()
    for size in (24, 100, 500, len(whole) // 2, len(whole) - 1000):
        path = tmp_path / f"{size}.heic"
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=f"{size}.heic"):
            read_image(path)


def test_hostile_bytes_give_an_image_or_one_error(photograph):
    random, whole = np.random.default_rng(0), photograph.read_bytes()
    for _ in range(100):
        data = bytearray(whole)
        for place in random.integers(0, 1200, 3):
            data[place] = random.integers(256)
        with suppress(DataError):
            assert read_image(io.BytesIO(bytes(data))).dtype == np.uint8


def test_the_number_of_pixels_is_checked_first(photograph, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 512 * 512 - 1)
    with pytest.raises(DataError, match="million pixels"):
        read_image(photograph)


def test_they_are_found_in_folders(photograph):
    assert list(list_images(photograph.parent)) == [photograph]


@pytest.mark.parametrize(("name", "counts"), [("a.heic", True), ("a.png", False)])
def test_the_extra_decides_the_pairs_of_such_pictures_alone(tmp_path, name, counts):
    (tmp_path / "set" / "Happy").mkdir(parents=True)
    Image.fromarray(astronaut()).save(tmp_path / "set" / "Happy" / name)
    preprocess(PreprocessConfig(tmp_path / "set", tmp_path / "store", workers=1))
    assert ("pillow-heif" in PairStore.open(tmp_path / "store").info.versions) == counts


def test_without_the_extra_it_is_named(photograph):
    Image.fromarray(astronaut()).save(photograph.parent / "b.png")

    def predict(source):
        command = [sys.executable, "-c", WITHOUT_THE_EXTRA, "predict", source, "--format", "jsonl"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    named = predict(photograph)
    assert named.returncode == 1
    assert f"{photograph} is a HEIF picture: pillow-heif is not installed" in named.stderr
    assert "--extra heif" in named.stderr
    found = predict(photograph.parent)
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) == 1
    assert "skipped 1 file of unsupported kinds: .heic\n" in found.stderr
    assert "HEIF pictures can be read. Install the extra" in found.stderr


def test_without_the_extra_data_sets_tell_what_they_leave_out(photograph, tmp_path):
    folder = tmp_path / "set" / "Happy"
    folder.mkdir(parents=True)
    photograph.rename(folder / photograph.name)

    def preprocess_set():
        command = ["preprocess", tmp_path / "set", tmp_path / "store", "--boxes", "whole"]
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_THE_EXTRA, *command, "--json", tmp_path / "report.json"],
            capture_output=True,
            text=True,
            check=False,
        )

    alone = preprocess_set()
    assert alone.returncode == DataError.exit_code
    assert "holds no images of a supported kind, only .heic\nHEIF pictures can" in alone.stderr
    (folder / "a.NEF").touch()
    Image.fromarray(astronaut()).save(folder / "b.png")
    beside = preprocess_set()
    assert beside.returncode == 0
    assert "skipped 2 files of unsupported kinds: .heic, .nef\n" in beside.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["read"], report["left_out"]) == (1, {".heic": 1, ".nef": 1})


def test_stores_with_and_without_such_photographs_merge_to_the_bytes_of_one_run(tmp_path):
    picture = Image.fromarray(astronaut())
    for place, name in (("train", "a.heic"), ("test", "b.jpg")):
        folder = tmp_path / "set" / place / "Happy"
        folder.mkdir(parents=True)
        picture.save(folder / name, "HEIF" if name.endswith("heic") else "JPEG")
    for name in ("train", "test", "whole"):
        split = None if name == "whole" else name
        making = PairMaking(boxes="whole")
        preprocess(PreprocessConfig(tmp_path / "set", tmp_path / name, making, split=split))
    for order in (("train", "test"), ("test", "train")):
        out = tmp_path / "-".join(order)
        merge_stores([tmp_path / name for name in order], out)
        if order == ("train", "test"):
            assert tree(out) == tree(tmp_path / "whole")
        assert "pillow-heif" in PairStore.open(out).info.versions
