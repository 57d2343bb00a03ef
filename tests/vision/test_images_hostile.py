"""Images that ask for much, and folders made to stumble over."""

import inspect
import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glamor_cli.errors import DataError
from glamor_cli.vision import images
from glamor_cli.vision.image_files import list_images
from glamor_cli.vision.images import count_pixels, read_image


def modes():
    pixels = np.random.default_rng(0).integers(0, 256, (23, 17, 4), dtype=np.uint8)
    rgba = Image.fromarray(pixels)
    rgb = rgba.convert("RGB")
    return {
        "RGBA": (rgba, {}),
        "LA": (rgba.convert("LA"), {}),
        "L": (rgb.convert("L"), {}),
        "1": (rgb.convert("1"), {}),
        "16-bit": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 250), {}),
        "palette": (rgb.convert("P"), {"transparency": 3}),
        "transparent colour": (rgb, {"transparency": tuple(map(int, pixels[0, 0, :3]))}),
    }


@pytest.mark.parametrize("mode", modes())
def test_large_images_are_converted_in_bands_to_the_same_pixels(tmp_path, monkeypatch, mode):
    image, options = modes()[mode]
    path = tmp_path / "image.png"
    image.save(path, **options)
    whole = read_image(path)
    for pixels in (5 * 17, 5):  # also where a row is wider than a band
        monkeypatch.setattr(images, "_BAND_PIXELS", pixels)
        np.testing.assert_array_equal(read_image(path), whole)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks into /proc")
@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_large_image_takes_little_more_than_its_pixels(tmp_path, mode):
    """16 million pixels in a file of a few kilobytes; 24 bytes a pixel would be 2 GB at most."""
    path = tmp_path / "image.png"
    Image.new(mode, (4000, 4000)).save(path, compress_level=1)
    script = (
        "import sys; from pathlib import Path; from glamor_cli.vision.images import read_image\n"
        "read_image(Path(sys.argv[1]))\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    base = 80 * 2**20
    assert int(done.stdout) * 1024 - base < 12 * 4000 * 4000


def with_scans(scans):
    """A JPEG of 8x8 pixels that are refined again and again."""

    def segment(kind, data):
        return b"\xff" + bytes([kind]) + struct.pack(">H", 2 + len(data)) + data

    codes = bytes([1, *[0] * 15])
    return b"".join(
        [
            b"\xff\xd8",
            segment(0xDB, bytes([0, *[1] * 64])),
            segment(0xC2, struct.pack(">BHHB", 8, 8, 8, 1) + b"\x01\x11\0"),
            segment(0xC4, b"\0" + codes + b"\0") + segment(0xC4, b"\x10" + codes + b"\0"),
            segment(0xDA, b"\x01\x01\0\0\0\0") + b"\x7f",
            (segment(0xDA, b"\x01\x01\0\x01\x3f\0") + b"\x7f") * (scans - 1),
            b"\xff\xd9",
        ]
    )


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded():
    """At 89 million pixels each takes some 30 ms, and 214 bytes of the file."""
    assert read_image(io.BytesIO(with_scans(200))).shape == (8, 8, 3)
    with pytest.raises(DataError, match="it has 201 scans, and no picture needs as many"):
        read_image(io.BytesIO(with_scans(201)))
    # A video behind the picture, as cameras put it there, is no scan.
    video = np.random.default_rng(0).bytes(32 << 20)
    assert video.count(b"\xff\xda") > 400
    assert read_image(io.BytesIO(with_scans(20) + video)).shape == (8, 8, 3)


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "image.webp"
    with path.open("wb") as handle:
        handle.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
        handle.truncate(2 << 30)
    with pytest.raises(DataError, match="has more than 1024 MiB"):
        read_image(path)


def test_the_pixels_of_a_file_that_is_too_large_are_not_counted(tmp_path):
    path = tmp_path / "image.webp"
    Image.new("RGB", (3, 2)).save(path)
    assert count_pixels(path) == 6
    os.truncate(path, images.MAX_FILE_BYTES + 1)
    assert count_pixels(path) == 0


def test_links_that_lead_to_themselves_end(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "here").symlink_to(".")
    # Like every link to what is missing, one that is named like a photograph is listed.
    assert list(list_images(tmp_path)) == [tmp_path / "a.png", tmp_path / "loop.png"]


def test_folders_may_be_nested_deeper_than_calls(tmp_path):
    folder = tmp_path
    for _ in range(300):
        folder /= "d"
        folder.mkdir()
    Image.new("RGB", (2, 2)).save(folder / "a.png")
    depth = len(inspect.stack())
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 150)
    try:
        assert list(list_images(tmp_path)) == [folder / "a.png"]
        assert list(list_images(tmp_path / "**/*.png")) == [folder / "a.png"]
    finally:
        sys.setrecursionlimit(limit)
