"""Pairs against the authors' own numbers, against torch, and at the edges of what a user gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glamor_cli.errors import DataError
from glamor_cli.vision.images import read_image
from glamor_cli.vision.pairs import (
    NO_FACE,
    Box,
    clip_box,
    crop_context,
    make_pair,
    round_box,
    sample_context,
    sample_face,
    to_uint8,
)

DATA = Path(__file__).parents[1] / "data"
SHARED = Path(__file__).parents[2] / ".." / "shared" / "golden" / "preprocess.npz"

GOLDEN = np.load(DATA / "preprocess.npz")
CASES = {
    str(case): (str(image), Box(*map(int, box)))
    for case, image, box in zip(GOLDEN["case"], GOLDEN["image"], GOLDEN["box"], strict=True)
}


def golden_pair(case, **options):
    """Our pair of a golden case, channels last as the golden arrays are."""
    image, box = CASES[case]
    pair = make_pair(read_image(DATA / "images" / image), box, **options)
    return pair.face.transpose(1, 2, 0), pair.context.transpose(1, 2, 0)


def test_every_golden_case_is_here():
    assert len(CASES) == 11


@pytest.mark.parametrize("case", CASES)
def test_pair_is_the_authors_to_the_last_bit(case):
    face, context = golden_pair(case)
    np.testing.assert_array_equal(face, GOLDEN[f"{case}/face"])
    np.testing.assert_array_equal(context, GOLDEN[f"{case}/context_nojpeg"])


@pytest.mark.parametrize("case", [c for c in CASES if f"{c}/context" in GOLDEN])
def test_official_jpeg_gives_the_authors_context_to_the_last_bit(case):
    face, context = golden_pair(case, official_jpeg=True)
    np.testing.assert_array_equal(face, GOLDEN[f"{case}/face"])
    np.testing.assert_array_equal(context, GOLDEN[f"{case}/context"])


@pytest.mark.skipif(not SHARED.is_file(), reason="the full golden folder is not beside this clone")
def test_official_jpeg_on_every_golden_case():
    everything = np.load(SHARED)
    for case in CASES:
        _, context = golden_pair(case, official_jpeg=True)
        np.testing.assert_array_equal(context, everything[f"{case}/context"], err_msg=case)


def test_official_jpeg_differs_from_no_jpeg():
    assert not np.array_equal(
        GOLDEN["s1_normal/context"], golden_pair("s1_normal", official_jpeg=False)[1]
    )


def resize_with_torch(image, rows, columns):
    batch = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        batch, (rows, columns), mode="bilinear", align_corners=False, antialias=False
    )
    return resized[0].permute(1, 2, 0).numpy()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    corners=st.tuples(*[st.integers(-60, 460)] * 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_sampling_equals_masking_and_resizing_everything(height, width, corners, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    box = Box(*corners)
    try:
        clipped = clip_box(box, height, width)
    except DataError:
        with pytest.raises(DataError):
            make_pair(image, box)
        return
    masked = image.copy()
    masked[clipped.y1 : clipped.y2, clipped.x1 : clipped.x2] = 0
    # torch counts positions a little differently in float32: a few parts in a million.
    np.testing.assert_allclose(
        sample_context(image, box), resize_with_torch(masked, 128, 171), atol=5e-5
    )
    if clipped != NO_FACE:
        crop = image[clipped.y1 : clipped.y2, clipped.x1 : clipped.x2]
        np.testing.assert_allclose(
            sample_face(image, box), resize_with_torch(crop, 96, 96), atol=5e-5
        )


class CountingImage(np.ndarray):
    """An image that counts the pixels copied out of it."""

    copied = 0

    def __getitem__(self, key):
        return self._count(super().__getitem__(key))

    def reshape(self, *shape):
        return self._count(super().reshape(*shape))

    def take(self, places, axis):
        return self._count(super().take(places, axis))

    def _count(self, part):
        if isinstance(part, np.ndarray) and not np.may_share_memory(part, self):
            CountingImage.copied += part.size // part.shape[-1]
        return part


def test_twelve_megapixels_are_not_read_whole():
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), dtype=np.uint8)
    box = Box(1500, 900, 2300, 1700)
    CountingImage.copied = 0
    pair = make_pair(image.view(CountingImage), box)
    # Four pixels at most blend into one of the 96x96 face and the 112x112 context.
    assert CountingImage.copied <= 4 * (96 * 96 + 112 * 112)
    plain = make_pair(image, box)
    np.testing.assert_array_equal(pair.face, plain.face)
    np.testing.assert_array_equal(pair.context, plain.context)


def test_each_row_of_a_small_image_is_read_once():
    """And not once for every row of the larger face and context: FER2013 has 48x48 pixels."""
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    CountingImage.copied = 0
    make_pair(image.view(CountingImage), Box(0, 0, 48, 48))
    assert CountingImage.copied <= 48 * 2 * (96 + 112)


def test_pair_has_the_network_s_layout():
    image = np.full((50, 80, 3), (255, 0, 51), np.uint8)
    pair = make_pair(image, Box(10, 10, 20, 20))
    assert pair.face.shape == (3, 96, 96)
    assert pair.context.shape == (3, 112, 112)
    assert pair.face.dtype == pair.context.dtype == np.float32
    assert pair.face.flags.c_contiguous
    assert pair.context.flags.c_contiguous
    np.testing.assert_allclose(pair.face.mean(axis=(1, 2)), [1, 0, 0.2], atol=1e-6)


def test_no_face_gives_a_zero_face_and_masks_nothing():
    image = np.full((60, 60, 3), 200, np.uint8)
    pair = make_pair(image, NO_FACE)
    assert not pair.face.any()
    np.testing.assert_allclose(pair.context, 200 / 255, atol=1e-6)


def test_a_box_over_the_corner_that_clips_to_nothing_at_zero_counts_as_no_face():
    image = np.full((60, 60, 3), 200, np.uint8)
    assert clip_box(Box(-50, -40, -5, -3), 60, 60) == NO_FACE
    assert not make_pair(image, Box(-50, -40, -5, -3)).face.any()


@pytest.mark.parametrize(
    "box",
    [
        Box(10, 10, 10, 20),
        Box(20, 10, 10, 20),
        Box(10, 20, 20, 10),
        Box(60, 0, 70, 10),
        Box(0, 60, 10, 70),
        Box(-5, 10, 0, 20),
    ],
)
def test_empty_boxes_are_refused_with_the_box_in_the_message(box):
    image = np.zeros((60, 60, 3), np.uint8)
    for sample in (make_pair, sample_face, sample_context):
        with pytest.raises(DataError, match=str(box[0])) as caught:
            sample(image, box)
        assert "60x60" in caught.value.what


@pytest.mark.parametrize("sample", [make_pair, sample_face, sample_context])
@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 60, 4), np.uint8),
        np.zeros((60, 60, 3), np.float32),
        np.zeros((60, 60, 3), np.uint16),
        np.zeros((60, 60), np.uint8),
        np.zeros((0, 60, 3), np.uint8),
    ],
    ids=["rgba", "float", "uint16", "gray", "empty"],
)
def test_what_read_image_would_not_give_is_refused(sample, image):
    with pytest.raises(DataError, match=rf"{image.dtype} .*not uint8 \[H, W, 3\]"):
        sample(image, Box(10, 10, 20, 20))


@pytest.mark.parametrize("sample", [make_pair, sample_face, sample_context])
@pytest.mark.parametrize("image", [Image.new("RGB", (60, 60)), [[[0, 0, 0]]]], ids=["pil", "list"])
def test_an_image_of_another_library_is_refused(sample, image):
    with pytest.raises(DataError, match=rf"{type(image).__name__}, not a NumPy array") as caught:
        sample(image, NO_FACE)
    assert "read_image" in caught.value.remedy


@pytest.mark.parametrize("sample", [make_pair, sample_face, sample_context])
@pytest.mark.parametrize(
    "box", [np.array([1.6, 2, 10.4, 20.9], np.float32), (1.0, 2, 10, 20), (1, 2, 10)]
)
def test_a_box_not_of_whole_pixels_names_who_rounds_it(sample, box):
    with pytest.raises(DataError, match="whole pixels") as caught:
        sample(np.zeros((60, 60, 3), np.uint8), box)
    assert "round_box" in caught.value.remedy


@pytest.mark.parametrize("like", [tuple, list, np.array])
def test_four_integers_are_a_box(like):
    image = np.random.default_rng(4).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    box = Box(10, 12, 40, 50)
    for sample in (sample_face, sample_context):
        np.testing.assert_array_equal(sample(image, like(box)), sample(image, box))
    np.testing.assert_array_equal(make_pair(image, like(box)).face, make_pair(image, box).face)


def test_boxes_are_clipped_to_the_image():
    assert clip_box(Box(-10, -20, 500, 400), 300, 200) == Box(0, 0, 200, 300)
    assert clip_box(Box(5, 6, 7, 8), 300, 200) == Box(5, 6, 7, 8)


def test_a_detector_s_box_is_rounded_not_cut():
    assert round_box(np.array([1.6, -2.6, 10.4, 20.9], np.float32)) == Box(2, -3, 10, 21)


@pytest.mark.parametrize("corner", [np.nan, np.inf])
def test_a_detector_s_box_that_is_nowhere_is_refused(corner):
    with pytest.raises(DataError, match="corners that are not finite"):
        round_box(np.array([1, 2, corner, 4], np.float32))


def test_stored_pairs_come_back_within_half_a_step():
    image = np.random.default_rng(3).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    box = Box(40, 50, 140, 150)
    stored = to_uint8(sample_context(image, box))
    assert stored.shape == (128, 171, 3)
    cropped = crop_context(stored[None])[0].transpose(2, 0, 1) / np.float32(255)
    assert np.abs(cropped - make_pair(image, box).context).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("shape", [(1, 65_501, 3), (65_501, 1, 3)])
def test_what_jpeg_cannot_hold_is_refused_by_the_official_step(shape):
    pytest.importorskip("simplejpeg", reason="simplejpeg is not installed")
    whole = Box(0, 0, shape[1], shape[0])
    with pytest.raises(DataError, match="too large for the official JPEG step"):
        sample_context(np.zeros(shape, np.uint8), whole, official_jpeg=True)


def test_missing_simplejpeg_names_the_extra(run_python):
    code = """
import sys
sys.modules["simplejpeg"] = None
import numpy as np
from glamor_cli.errors import BackendUnavailable
from glamor_cli.vision.pairs import NO_FACE, make_pair
try:
    make_pair(np.zeros((9, 9, 3), np.uint8), NO_FACE, official_jpeg=True)
except BackendUnavailable as error:
    print(error.remedy)
"""
    assert "--extra official-jpeg" in run_python(code)
