"""A video's pictures are upright, of square pixels, and of the colours that were filmed."""

import gc
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import gray, grays, write_clip

from glamor_cli.errors import DataError
from glamor_cli.vision.video_reader import read_video


def images(path: Path) -> list[np.ndarray]:
    return [frame.image for frame in read_video(path)]


@pytest.mark.parametrize(
    ("turned", "expected"),
    [
        ((0, False), ["red", "green", "blue", "white"]),
        ((90, False), ["green", "white", "red", "blue"]),
        ((180, False), ["white", "blue", "green", "red"]),
        ((-90, False), ["blue", "red", "white", "green"]),
        ((0, True), ["green", "red", "white", "blue"]),
        ((180, True), ["blue", "white", "red", "green"]),
    ],
)
def test_frames_are_upright_as_phones_say(tmp_path, turned, expected):
    """The corners of a phone's frame, row by row, after turning it counter-clockwise."""
    colours = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "white": (200,) * 3}
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:] = colours["red"], colours["green"]
    image[32:, :48], image[32:, 48:] = colours["blue"], colours["white"]
    path = write_clip(tmp_path / "turned.mp4", [image] * 2, turned=turned)
    (first, _) = images(path)
    height, width = first.shape[:2]
    assert (height, width) == ((96, 64) if abs(turned[0]) == 90 else (64, 96))
    corners = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    for corner, name in zip(corners, expected, strict=True):
        np.testing.assert_allclose(first[corner], colours[name], atol=25)


@pytest.mark.parametrize("alpha", [(255, 0), (255, 51), (0, 0)])
def test_transparent_pixels_lie_over_black(tmp_path, alpha):
    """Unless all are, for many raw recordings leave the fourth channel empty."""
    pixels, path = np.full((48, 64, 4), 200, np.uint8), tmp_path / "overlay.mov"
    pixels[:, :32, 3], pixels[:, 32:, 3] = alpha
    with av.open(str(path), "w") as container:
        stream = container.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "argb"
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="argb")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (shown,) = images(path)
    expected = (200, 200) if alpha == (0, 0) else (200, 200 * alpha[1] // 255)
    for half, level in zip((slice(32), slice(32, 64)), expected, strict=True):
        np.testing.assert_array_equal(shown[:, half], level)


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = write_clip(tmp_path / "wide.mp4", grays(2), aspect=Fraction(4, 3))
    assert images(path)[0].shape == (48, 85, 3)


def test_a_shape_of_pixels_that_changes_is_followed(tmp_path):
    """As between programmes; frames that the decoder holds back may be as wide as the next."""
    joined = tmp_path / "joined.ts"
    parts = [
        write_clip(tmp_path / f"{number}.ts", grays(20), aspect=Fraction(number, 3))
        for number in (4, 5)
    ]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    widths = [image.shape[1] for image in images(joined)]
    assert widths == sorted(widths)
    assert set(widths) == {85, 107}
    assert widths.count(85) >= 15


def test_a_container_that_tells_another_shape_of_pixels_than_its_frames_is_obeyed(tmp_path):
    path = write_clip(tmp_path / "told.mp4", grays(12), aspect=Fraction(4, 3))
    content, told = path.read_bytes(), b"pasp" + struct.pack(">II", 4, 3)
    assert content.count(told) == 1
    path.write_bytes(content.replace(told, b"pasp" + struct.pack(">II", 2, 1)))
    assert {image.shape for image in images(path)} == {(48, 128, 3)}


def test_pixels_of_no_sane_shape_count_as_square(tmp_path):
    path = write_clip(tmp_path / "strange.mp4", grays(2), aspect=Fraction(9, 1))
    assert {frame.image.shape for frame in read_video(path)} == {(48, 64, 3)}


def test_pixels_that_would_make_a_frame_too_large_are_refused_before_they_are_converted(tmp_path):
    """FFmpeg itself refuses some, with other words."""
    clip, size = tmp_path / "wide.mov", (5800, 5800)
    path = write_clip(clip, grays(1, size), codec="mjpeg", aspect=Fraction(8, 1))
    with pytest.raises(DataError, match="frames of more than 89 million pixels"):
        images(path)


@pytest.mark.parametrize("tagged", [True, False])
def test_colours_are_those_that_were_filmed(tmp_path, tagged):
    """High definition without a word about its colours is BT.709, as in every player."""
    colour, path = (200, 30, 60), tmp_path / "colour.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        if tagged:
            stream.codec_context.colorspace = 1
        pixels = np.empty((720, 1280, 3), np.uint8)
        pixels[:] = colour
        frame = av.VideoFrame.from_ndarray(pixels)
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="itu709")))
        container.mux(stream.encode(None))
    np.testing.assert_allclose(images(path)[0].mean((0, 1)), colour, atol=4)


@pytest.mark.parametrize("space", [3, 9, 10])
def test_colours_are_read_whatever_a_file_calls_them(tmp_path, space):
    path = write_clip(tmp_path / "wide.mp4", grays(25), space=space)
    for number, image in enumerate(images(path)):
        assert abs(image.mean() - gray(number)) < 5


@pytest.mark.parametrize(("curve", "signal"), [(16, 0.58), (18, 0.75)])
def test_white_of_a_high_dynamic_range_is_white(tmp_path, curve, signal):
    """Of PQ and HLG diffuse white, 203 cd/m2, is what BT.2408 says; stored it looks gray."""
    path = tmp_path / "high.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = curve, 9, 9
        pixels = np.full((48, 64, 3), round(65535 * signal), np.uint16)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le")
        container.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        container.mux(stream.encode(None))
    (image,) = images(path)
    assert image.mean() > 225


def test_colours_that_are_not_read_are_named(tmp_path):
    path = write_clip(tmp_path / "strange.mp4", grays(2), space=8)
    with pytest.raises(DataError, match=r"strange\.mp4 has colours of a kind .* YCgCo"):
        images(path)


def test_frames_leave_memory_as_they_go_and_not_when_the_collector_comes(tmp_path):
    """It counts objects: of large frames a few hundred would be gigabytes."""
    path = write_clip(tmp_path / "gray.mp4", grays(30))
    gc.collect()
    gc.disable()
    try:
        # Nothing grows older while it is off, and to look through all there is takes seconds.
        held = [
            sum(type(each) is av.VideoFrame for each in gc.get_objects(generation=0))
            for _ in read_video(path)
        ]
    finally:
        gc.enable()
    assert len(held) == 30
    # The first one's side data is looked at; the decoder and the reader hold some.
    assert max(held) <= 10
