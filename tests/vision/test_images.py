"""Reading real files of every kind a user may have."""

import random
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

from glamor_cli.errors import DataError
from glamor_cli.vision.images import MAX_PIXELS, read_image

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def picture():
    """A smooth picture that no flip or turn maps to itself, uint8 [24, 40, 3]."""
    rows, columns = np.mgrid[0:24, 0:40]
    return np.stack([rows * 10, columns * 6, (rows + columns) * 3], axis=2).astype(np.uint8)


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    image.save(path, **options)
    return path


# --- formats and modes ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_lossless_formats_come_back_exactly(tmp_path, picture, suffix):
    image = read_image(save(tmp_path / f"a.{suffix}", picture))
    np.testing.assert_array_equal(image, picture)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous


@pytest.mark.parametrize("suffix", ["jpg", "webp", "jp2", "avif", "mpo"])
def test_lossy_formats_come_back_nearly(tmp_path, picture, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    image = read_image(save(tmp_path / f"a.{suffix}", picture, quality=95))
    assert np.abs(image.astype(int) - picture).mean() < 6


def test_the_kind_is_found_in_the_file_not_in_its_name(tmp_path, picture):
    path = save(tmp_path / "a.png", picture).rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(path), picture)


def test_gray_becomes_three_equal_channels(tmp_path, picture):
    image = read_image(save(tmp_path / "a.png", picture[..., 0]))
    np.testing.assert_array_equal(image, np.repeat(picture[..., :1], 3, axis=2))


def test_one_bit_images_are_black_and_white(tmp_path, picture):
    image = read_image(save(tmp_path / "a.png", picture, mode="1"))
    assert set(np.unique(image)) == {0, 255}


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 32768, 65535], [128, 129, 65406, 65407]], np.uint16)
    image = read_image(save(tmp_path / f"a.{suffix}", values))
    assert image[..., 0].tolist() == [[0, 1, 128, 255], [0, 1, 254, 255]]
    assert image.shape == (2, 4, 3)


def test_12_bit_tiff_is_as_bright_as_it_is_meant(tmp_path):
    """Written by hand, since what packs 12 bits is a library of its own."""
    data = bytes.fromhex("000800fff010")
    width, height, bits, raw, black_is_zero = (256, 4), (257, 1), (258, 12), (259, 1), (262, 1)
    strip = ((273, 8), (277, 1), (278, 1), (279, len(data)))
    tags = (width, height, bits, raw, black_is_zero, *strip)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255, 1]


def test_tiff_whose_zero_is_white_is_no_negative(tmp_path):
    values = np.array([[0, 257, 32767, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [255, 254, 128, 0]


@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.int32])
def test_integers_that_may_be_of_any_range_are_refused(tmp_path, kind):
    """Also where all happen to be such as 16 bits would hold: nobody knows what is white."""
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 255, 9, 3]], kind))
    with pytest.raises(DataError, match="range is not known"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_deep_colours_in_planes_is_no_noise(tmp_path, picture, byteorder):
    planes = np.moveaxis(picture.astype(np.uint16) * 257, -1, 0)
    options = {"photometric": "rgb", "planarconfig": "separate", "byteorder": byteorder}
    tifffile.imwrite(tmp_path / "raw.tif", planes, **options)
    with pytest.raises(DataError, match="separate planes"):
        read_image(tmp_path / "raw.tif")
    tifffile.imwrite(tmp_path / "packed.tif", planes, **options, compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / "packed.tif"), picture)
    tifffile.imwrite(tmp_path / "bytes.tif", np.moveaxis(picture, -1, 0), **options)
    np.testing.assert_array_equal(read_image(tmp_path / "bytes.tif"), picture)


def test_16_bit_colour_is_scaled(tmp_path):
    """Written by hand, since Pillow writes no 16-bit colour."""
    row = struct.pack(">6H", 0, 32768, 65535, 257 * 10, 257 * 20, 257 * 30)
    path = tmp_path / "a.png"
    path.write_bytes(png(width=2, height=1, depth=16, colour=2, data=zlib.compress(b"\0" + row)))
    assert read_image(path).tolist() == [[[0, 128, 255], [10, 20, 30]]]


def test_wide_pgm_is_scaled(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 3 1 1023\n" + struct.pack(">3H", 0, 512, 1023))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    "pixels", [np.full((3, 3), 0.5, np.float32), np.full((3, 3), 70000, np.int32)]
)
def test_pixels_of_unknown_range_are_refused(tmp_path, pixels):
    with pytest.raises(DataError, match="range is not known"):
        read_image(save(tmp_path / "a.tif", pixels))


def test_cmyk_becomes_rgb(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [255, 255, 255], [0, 0, 0]]], np.uint8)
    colours = colours.repeat(16, axis=0).repeat(16, axis=1)
    image = read_image(save(tmp_path / "a.jpg", colours, mode="CMYK", quality=100))
    assert np.abs(image.astype(int) - colours).mean() < 4


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palettes_become_colours(tmp_path, suffix):
    colours = np.array([[[200, 10, 20], [10, 200, 30]], [[0, 0, 0], [9, 9, 250]]], np.uint8)
    image = Image.fromarray(colours).quantize(8)
    image.save(tmp_path / f"a.{suffix}")
    assert np.abs(read_image(tmp_path / f"a.{suffix}").astype(int) - colours).max() <= 8


def test_alpha_is_composited_over_black(tmp_path):
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]], np.uint8)
    image = read_image(save(tmp_path / "a.png", rgba))
    np.testing.assert_allclose(image[0], [[200, 100, 50], [100, 50, 25], [0, 0, 0]], atol=1)
    gray = read_image(save(tmp_path / "b.png", rgba, mode="LA"))
    assert gray[0, 2].tolist() == [0, 0, 0]
    assert gray[0, 0, 0] > 100


def test_gray_that_is_multiplied_by_its_alpha_is_black_where_it_is_transparent(tmp_path):
    """As image editors save TIFF; Pillow writes the other kind, which one number tells apart."""
    path = tmp_path / "a.tif"
    Image.merge("LA", [Image.linear_gradient("L")] * 2).save(path)
    extra_samples = struct.pack("<HHI", 338, 3, 1)
    before, after = path.read_bytes().split(extra_samples + b"\2")
    path.write_bytes(before + extra_samples + b"\1" + after)
    try:
        with Image.open(path) as image:
            assert image.mode == "La"
    except UnidentifiedImageError:
        with pytest.raises(DataError):
            read_image(path)
        pytest.skip("this Pillow reads no such TIFF")
    expected = np.asarray(Image.linear_gradient("L").convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("alpha", [0, 51])
def test_a_bmp_whose_alpha_is_empty_has_none(tmp_path, alpha):
    """Written by hand, since Pillow names no mask of it: the header of version 4."""
    pixels = np.full((4, 4, 4), 200, np.uint8)
    pixels[..., 3] = 0
    pixels[0, 0, 3] = alpha  # of the last row, as BMP counts
    header = struct.pack("<IiiHH6I", 108, 4, 4, 1, 32, 3, 64, 0, 0, 0, 0)
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    start = struct.pack("<2sIHHI", b"BM", 122 + 64, 0, 0, 122)
    path = tmp_path / "a.bmp"
    path.write_bytes(start + header + masks + bytes(52) + pixels.tobytes())
    image = read_image(path)
    assert (image[:3] == (0 if alpha else 200)).all()
    assert (image[3, 0] == (40 if alpha else 200)).all()


def test_a_transparent_colour_is_black_too(tmp_path):
    colours = np.array([[[1, 2, 3], [200, 100, 50]]], np.uint8)
    path = save(tmp_path / "a.png", colours, transparency=(200, 100, 50))
    assert read_image(path).tolist() == [[[1, 2, 3], [0, 0, 0]]]


def test_a_transparent_gray_of_16_bits_is_black_too(tmp_path):
    values = np.array([[65535, 32768, 32769, 257]], np.uint16)
    path = save(tmp_path / "a.png", values, transparency=65535)
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 128, 1]
    path = save(tmp_path / "b.png", values, transparency=32768)
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 128, 1]
    texts = PngInfo()
    texts.add_text("transparency", "32768")
    path = save(tmp_path / "c.png", values, pnginfo=texts)
    assert read_image(path)[0, :, 0].tolist() == [255, 128, 128, 1]


def test_a_transparent_palette_entry_is_black_and_warns_nobody(tmp_path):
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1, 0, 1])
    image.save(tmp_path / "a.png", transparency=b"\xff\x00")
    assert read_image(tmp_path / "a.png")[0, :2].tolist() == [[10, 20, 30], [0, 0, 0]]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    image = read_image(path)
    assert image.shape == (24, 32, 3)
    assert (image == (255, 0, 0)).all()


@pytest.mark.parametrize("parts", [0, 1])
def test_a_raw_file_is_not_answered_from_its_preview(tmp_path, picture, parts):
    """The picture follows the preview, or is said to belong to it, as in DNG."""
    with tifffile.TiffWriter(tmp_path / "a.dng") as raw:
        raw.write(picture[::4, ::4], photometric="rgb", subfiletype=1, subifds=parts)
        raw.write(picture[..., 1].astype(np.uint16) * 16, photometric="minisblack")
    with pytest.raises(DataError, match="preview of 10x6 pixels") as caught:
        read_image(tmp_path / "a.dng")
    assert "Export it" in caught.value.remedy


def test_a_preview_alone_is_a_picture(tmp_path, picture):
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), picture)


# --- orientation ---------------------------------------------------------------------------------

# How a stored picture is turned for each EXIF orientation, by the standard's definition of where
# its first row and first column belong.
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_once(tmp_path, picture, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0}
    if suffix in ("png", "tif"):
        options = {}
    image = read_image(save(tmp_path / f"a.{suffix}", picture, exif=exif, **options))
    expected = TURNS[orientation](picture)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= (4 if suffix == "jpg" else 0)
    assert image.flags.c_contiguous


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_broken_exif_does_not_make_a_photograph_unreadable(tmp_path, picture, exif):
    path = save(tmp_path / "a.jpg", picture, exif=exif)
    assert read_image(path).shape == picture.shape


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientations_turn_nothing(tmp_path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", picture, exif=exif)), picture)


# --- files that cannot be read -------------------------------------------------------------------


def png(*, width, height, depth, colour, data):
    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [10_000, 20_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    """The middle sizes only make Pillow warn, the largest makes it raise."""
    path = tmp_path / "bomb.png"
    path.write_bytes(
        png(width=side, height=side, depth=8, colour=2, data=zlib.compress(b"\0" * 99))
    )
    assert side * side > MAX_PIXELS
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more than 89 million pixels"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp", "jp2", "ppm"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_truncated_files_give_one_clear_error(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(path) in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize(
    "content",
    [b"", b"just text\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"P6\n-1 5 255\n"],
)
def test_fake_images_are_refused(tmp_path, content):
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"fake\.jpg"):
        read_image(path)


@pytest.mark.parametrize(("kind", "name"), [("TIFF", "a.tif"), ("JPEG", "a.jpg")])
def test_kinds_of_known_formats_that_are_not_read_are_named(tmp_path, picture, kind, name):
    """Floats, and 12 bits, of which a JPEG's header tells."""
    if kind == "TIFF":
        tifffile.imwrite(tmp_path / name, picture.astype(np.float32) / 255, photometric="rgb")
    else:
        path = save(tmp_path / name, picture)
        path.write_bytes(path.read_bytes().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"))
    with pytest.raises(DataError, match=f"is a {kind} file of a kind that is not read") as caught:
        read_image(tmp_path / name)
    assert "8 bits" in caught.value.remedy


def test_formats_that_run_other_programs_are_not_opened(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match="is not an image"):
        read_image(path)


def test_corrupted_bytes_give_an_image_or_a_data_error_and_nothing_else(tmp_path, picture):
    rng = random.Random(0)
    for suffix in ("jpg", "png", "webp", "gif", "tif", "bmp", "jp2"):
        data = save(tmp_path / f"whole.{suffix}", picture).read_bytes()
        for _ in range(40):
            damaged = bytearray(data)
            for _ in range(rng.randint(1, 6)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path = tmp_path / f"damaged.{suffix}"
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except DataError:
                continue
            assert image.ndim == 3
            assert image.dtype == np.uint8


def test_a_programs_own_guard_against_large_images_stays(tmp_path, picture):
    """Servers of uploads make an error of Pillow's warning."""
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png(width=10_000, height=10_000, depth=8, colour=2, data=b""))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        read_image(save(tmp_path / "a.png", picture))
        with pytest.raises(DataError, match="more than 89 million pixels"):
            read_image(bomb)
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(bomb)


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from glamor_cli.errors import DataError
from glamor_cli.vision.images import read_image

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
try:
    read_image(sys.argv[1])
except DataError as error:
    print(error.what)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no limit of a process's memory")
def test_a_lack_of_memory_is_not_blamed_on_the_file(tmp_path):
    """People would throw away photographs that are fine."""
    path = tmp_path / "large.png"
    Image.new("RGB", (8000, 8000)).save(path)
    said = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert said == f"there is not enough memory to read {path}\n"


def test_missing_files_and_folders_say_so(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(DataError, match="cannot open"):
        read_image(tmp_path)


def test_reading_in_a_thread_takes_no_warning_from_the_program_around_it(tmp_path, picture):
    """Filters are the whole process's: readers that set and restored them lost the caller's."""
    path = save(tmp_path / "a.jpg", picture, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(path)
        mine = [entry for entry in warnings.filters if entry[3] is None]
        with ThreadPoolExecutor(1) as readers:
            readings = [readers.submit(read_image, path) for _ in range(200)]
            while not all(reading.done() for reading in readings):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    warnings.warn("the caller's own", stacklevel=1)
                assert "the caller's own" in [str(warning.message) for warning in caught]
        assert all(reading.result().shape == picture.shape for reading in readings)
        assert [entry for entry in warnings.filters if entry[3] is None] == mine
        warnings.simplefilter("error")
        assert read_image(path).shape == picture.shape


def test_a_program_without_any_filter_of_warnings_reads_images(tmp_path, picture):
    path = save(tmp_path / "a.png", picture)
    with warnings.catch_warnings():
        warnings.resetwarnings()
        np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system does not list open files")
def test_reading_closes_the_file(tmp_path, picture):
    path = save(tmp_path / "a.tif", picture)
    before = len(list(OPEN_FILES.iterdir()))
    held = [read_image(path) for _ in range(5)]
    assert len(list(OPEN_FILES.iterdir())) == before
    assert len(held) == 5


def test_a_program_s_own_warning_is_shown_once_however_many_images_are_read(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys, warnings\n"
        "from glamor_cli.vision.images import read_image\n"
        "for _ in range(3):\n"
        "    read_image(sys.argv[1])\n"
        "    warnings.warn('own')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("UserWarning: own") == 1
