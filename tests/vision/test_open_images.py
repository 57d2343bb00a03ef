"""Reading images from files that are open already, as uploads come to a server."""

import io
import mmap
import os
import tempfile
import tracemalloc
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, features

from glamor_cli.errors import DataError
from glamor_cli.vision import images
from glamor_cli.vision.images import MAX_PIXELS, read_image

SUFFIXES = ["jpg", "png", "webp", "gif", "tif", "bmp", "jp2", "ppm", "avif"]


def draw(path: Path, **options) -> Path:
    """Save a picture that no turn maps to itself."""
    rows, columns = np.mgrid[0:24, 0:40]
    pixels = np.stack([rows * 10, columns * 6, (rows + columns) * 3], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_open_file_is_read_like_one_of_a_name_and_stays_open(tmp_path, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    path = draw(tmp_path / f"a.{suffix}")
    expected = read_image(path)
    with path.open("rb") as file, tempfile.SpooledTemporaryFile() as upload:
        upload.write(path.read_bytes())  # its position is its end now
        for opened in (file, upload, io.BytesIO(path.read_bytes())):
            for _ in range(2):
                np.testing.assert_array_equal(read_image(opened), expected)
            assert not opened.closed


def test_memory_maps_and_members_of_archives_are_files_too(tmp_path):
    path = draw(tmp_path / "a.png")
    expected = read_image(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        np.testing.assert_array_equal(read_image(mapped), expected)
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "a.png")
    with ZipFile(tmp_path / "a.zip") as archive, archive.open("a.png") as member:
        np.testing.assert_array_equal(read_image(member), expected)


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_says_what_to_give_instead(buffering):
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read, "rb", buffering) as pipe, pytest.raises(DataError) as caught:
        read_image(pipe)
    assert "BytesIO" in caught.value.remedy


def test_it_is_turned_upright_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = draw(tmp_path / "a.png", exif=exif)
    assert read_image(io.BytesIO(path.read_bytes())).shape == (40, 24, 3)


def test_so_are_the_bounds_of_pixels_and_bytes(tmp_path, monkeypatch):
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "png")
    assert MAX_PIXELS < 10_000**2
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="the image has more than 89 million pixels"):
            read_image(bomb)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    path = draw(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_FILE_BYTES", path.stat().st_size - 1)
    with pytest.raises(DataError, match="the image has more than"):
        read_image(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 and no more"])
def test_bytes_that_are_no_image_give_one_clear_error(data):
    with pytest.raises(DataError, match=r"^the image ") as caught:
        read_image(io.BytesIO(data))
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_file_open_for_writing_is_refused_as_what_is_no_file(tmp_path, buffering):
    with (tmp_path / "a.png").open("wb", buffering) as file, pytest.raises(TypeError) as caught:
        read_image(file)
    assert "open for reading bytes" in str(caught.value)


def test_a_pipe_is_refused_and_not_read_into_memory():
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe, pytest.raises(DataError, match="cannot seek"):
        read_image(pipe)


@pytest.mark.parametrize("wrong", [b"\xff\xd8\xff", None, 3, io.StringIO("text"), np.zeros(3)])
def test_what_is_no_file_is_refused_with_what_to_give(wrong):
    with pytest.raises(TypeError, match=r"give io\.BytesIO\(data\)"):
        read_image(wrong)
