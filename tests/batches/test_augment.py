"""Augmentation: the authors' rotation to the last digit, and every range by its distribution."""

import golden
import numpy as np
import pytest
import torch

from glamor_cli.data.batches.augment import (
    ContextAugmentation,
    FaceAugmentation,
    random_crop,
    random_flip,
    rotate,
    to_float,
)
from glamor_cli.data.batches.draws import Draws


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(seed=0):
    return Draws(seeded(seed))


def ramps(count, height=96, width=96):
    """Images whose channels say where they were: row, column, one half; all in (0, 1)."""
    rows = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    columns = ((torch.arange(width) + 0.5) / width).expand(height, width)
    return torch.stack((rows, columns, torch.full_like(rows, 0.5))).repeat(count, 1, 1, 1)


def angles(faces):
    """Read the angle in degrees off rotated ramps, from the slopes at their centres."""
    centre = slice(40, 56)
    across = faces[:, 0, centre, 55] - faces[:, 0, centre, 40]  # how the row changes to the right
    down = faces[:, 0, 55, centre] - faces[:, 0, 40, centre]
    return torch.rad2deg(torch.atan2(across.mean(1), down.mean(1)))


def test_rotation_golden():
    expected = golden.load("rotation")
    face = golden.make_inputs()[0][:1]
    degrees = torch.from_numpy(expected["theta_deg"])
    rotated = rotate(face.expand(5, -1, -1, -1), degrees)
    np.testing.assert_allclose(
        rotated.permute(0, 2, 3, 1).numpy(), expected["rotated"], rtol=0, atol=1e-6
    )


def test_positive_angle_turns_counter_clockwise_on_screen():
    face = torch.zeros(1, 3, 96, 96)
    face[:, :, 48, 80:90] = 1.0  # a mark at three o'clock
    rotated = rotate(face, torch.tensor([90.0]))[0, 0]
    assert rotated[5:20, 46:50].sum() > 5  # is at twelve o'clock


def test_faces_are_rotated_uniformly_within_the_limit():
    turn = FaceAugmentation(flip=False, degrees=20.0)
    found = angles(turn(ramps(2000), draws())).numpy()
    assert np.abs(found).max() <= 20.01
    counts, _ = np.histogram(found, bins=8, range=(-20.0, 20.0))
    # Each bin expects 250 with a standard deviation of 15.
    assert counts.min() > 250 - 75
    assert counts.max() < 250 + 75


def test_random_flip_mirrors_half_and_keeps_the_rest():
    faces = ramps(2000, 8, 8)
    flipped = random_flip(faces, draws())
    mirrored = (flipped == faces.flip(3)).all(dim=(1, 2, 3))
    same = (flipped == faces).all(dim=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 900 < mirrored.sum() < 1100


def test_random_crop_takes_every_place_equally():
    height, width = 128, 171
    position = torch.arange(height * width).float().view(1, 1, height, width)
    crops = random_crop(position.expand(6000, 3, -1, -1), draws())
    assert crops.shape == (6000, 3, 112, 112)
    corner = crops[:, 0, 0, 0].long()
    tops, lefts = corner // width, corner % width
    assert set(tops.tolist()) == set(range(17))
    assert set(lefts.tolist()) == set(range(60))
    # 353 a top and 100 a left expected, with standard deviations of 18 and 10.
    assert tops.bincount().min() > 353 - 90
    assert lefts.bincount().min() > 50
    whole = torch.arange(112)[:, None] * width + torch.arange(112)
    assert torch.equal(crops[:, 1].long() - corner[:, None, None], whole.expand(6000, -1, -1))


def test_stored_pairs_become_float():
    stored = torch.randint(0, 256, (2, 96, 96, 3), dtype=torch.uint8, generator=seeded())
    images = to_float(stored)
    assert images.dtype == torch.float32
    np.testing.assert_array_equal(
        images.numpy(), stored.numpy().astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    )


def test_default_face_augmentation_is_the_authors():
    """A flip or none, then a rotation; sampling only once must not change it."""
    faces = golden.make_inputs()[0]
    for seed in range(8):
        augmented = FaceAugmentation()(faces, draws(seed))
        # The same draws on ramps tell the angles; flipping leaves the ramp of rows as it is.
        turned = angles(FaceAugmentation()(ramps(len(faces)), draws(seed)))
        assert turned.abs().max() > 1
        unflipped, flipped = (
            (rotate(candidate, turned) - augmented).abs().amax(dim=(1, 2, 3))
            for candidate in (faces, faces.flip(3))
        )
        assert (torch.minimum(unflipped, flipped) < 1e-5).all()


def test_default_context_augmentation_is_only_the_crop():
    contexts = torch.rand(3, 3, 128, 171, generator=seeded(1))
    augmented = ContextAugmentation()(contexts, draws(5))
    assert torch.equal(augmented, random_crop(contexts, draws(5)))


def test_scale_and_shift_stay_in_their_ranges():
    still = {"flip": False, "degrees": 0.0}
    zoomed = FaceAugmentation(**still, scale=(0.8, 1.25))(ramps(1000), draws())
    slope = (zoomed[:, 1, 48, 55] - zoomed[:, 1, 48, 40]) * 96 / 15
    zoom = 1 / slope
    assert 0.799 < zoom.min() < 0.82
    assert 1.23 < zoom.max() < 1.251
    # The range is its own inverse; a mark of ten pixels tells which way it goes.
    face = torch.zeros(1, 3, 96, 96)
    face[:, :, 43:53, 43:53] = 1.0
    (larger,) = FaceAugmentation(**still, scale=(1.5, 1.5))(face, draws())
    assert larger[0, 48].sum() == pytest.approx(15, abs=0.1)
    moved = FaceAugmentation(**still, shift=0.1)(ramps(1000), draws())
    for channel in (0, 1):
        centre = moved[:, channel, 47:49, 47:49].mean(dim=(1, 2)) - 0.5
        assert centre.abs().max() < 0.1001
        assert centre.min() < -0.09
        assert centre.max() > 0.09


def test_brightness_and_contrast_stay_in_their_ranges():
    faces = 0.25 + 0.5 * torch.rand(1000, 3, 16, 16, generator=seeded(1))
    brighter = FaceAugmentation(flip=False, degrees=0.0, brightness=0.2)(faces, draws())
    gain = brighter.mean(dim=(1, 2, 3)) / faces.mean(dim=(1, 2, 3))
    assert 0.799 < gain.min() < 0.81
    assert 1.19 < gain.max() < 1.201
    harder = FaceAugmentation(flip=False, degrees=0.0, contrast=0.2)(faces, draws())
    np.testing.assert_allclose(harder.mean(dim=(1, 2, 3)), faces.mean(dim=(1, 2, 3)), atol=1e-6)
    slope = harder.std(dim=(1, 2, 3)) / faces.std(dim=(1, 2, 3))
    assert 0.799 < slope.min() < 0.81
    assert 1.19 < slope.max() < 1.201


def test_gray_images_come_at_their_share():
    faces = torch.rand(1000, 3, 8, 8, generator=seeded(1))
    grayed = FaceAugmentation(flip=False, degrees=0.0, gray=0.3)(faces, draws())
    is_gray = (grayed == grayed[:, :1]).all(dim=1).all(dim=(1, 2))
    assert 240 < is_gray.sum() < 360
    assert torch.equal(grayed[~is_gray], faces[~is_gray])
    luma = 0.299 * faces[:, 0] + 0.587 * faces[:, 1] + 0.114 * faces[:, 2]
    torch.testing.assert_close(grayed[is_gray][:, 0], luma[is_gray])


def test_blur_keeps_flat_images_and_spreads_a_point():
    augment = FaceAugmentation(flip=False, degrees=0.0, blur=1.5)
    flat = torch.full((4, 3, 32, 32), 0.7)
    torch.testing.assert_close(augment(flat, draws()), flat)
    point = torch.zeros(500, 3, 33, 33)
    point[:, :, 16, 16] = 1.0
    blurred = augment(point, draws())
    torch.testing.assert_close(blurred.sum(dim=(2, 3)), torch.ones(500, 3))
    assert blurred[:, 0, 16, 16].min() < 0.1
    assert blurred[:, 0, 16, 16].max() > 0.99


def test_sharpening_keeps_flat_images_and_raises_a_step():
    augment = FaceAugmentation(flip=False, degrees=0.0, sharpen=1.5)
    flat = torch.full((4, 3, 32, 32), 0.7)
    torch.testing.assert_close(augment(flat, draws()), flat)
    step = torch.full((500, 3, 32, 32), 0.4)
    step[..., 16:] = 0.6
    sharpened = augment(step, draws())
    rise = sharpened[..., 16] - sharpened[..., 15]
    # Beside the step a blur leaves its middle tap's share of the rise; up to 1.5 times the rest of
    # it is added.
    taps = torch.exp(-0.5 * torch.arange(-2.0, 3.0) ** 2)
    kept = float(taps[2] / taps.sum())
    assert rise.min() >= 0.2 - 1e-6
    assert rise.max() == pytest.approx(0.2 * (1 + 1.5 * (1 - kept)), rel=0.02)
    torch.testing.assert_close(sharpened[..., :12], step[..., :12])


def test_erased_rectangles_come_at_their_share_and_size():
    faces = torch.rand(1000, 3, 64, 64, generator=seeded(1))
    erased = FaceAugmentation(flip=False, degrees=0.0, erase=0.4)(faces, draws())
    changed = (erased != faces).any(dim=1)
    touched = changed.any(dim=(1, 2))
    assert 330 < touched.sum() < 470
    share = changed[touched].float().mean(dim=(1, 2))
    assert share.min() > 0.01
    assert share.max() < 0.3
    for picture, original, hit in zip(erased[:20], faces[:20], changed[:20], strict=True):
        if hit.any():
            mean = original.mean(dim=(1, 2))[:, None]
            torch.testing.assert_close(picture[:, hit], mean.expand(-1, int(hit.sum())))


EVERYTHING = FaceAugmentation(
    scale=(0.9, 1.1),
    shift=0.05,
    brightness=0.3,
    contrast=0.3,
    gray=0.3,
    blur=1.5,
    sharpen=1.5,
    erase=0.3,
)
CONTEXTS = ContextAugmentation(flip=True, brightness=0.3, contrast=0.3, gray=0.3, erase=0.3)


def test_a_missing_face_stays_black():
    """Zeros are how the network is told that there is no face."""
    nothing = torch.zeros(8, 3, 96, 96)
    assert not EVERYTHING(nothing, draws()).any()


def test_the_masked_face_stays_black_in_the_context():
    contexts = torch.randint(1, 256, (8, 128, 171, 3), dtype=torch.uint8, generator=seeded(1))
    contexts[:, 40:80, 60:100] = 0
    augment = ContextAugmentation(brightness=0.3, contrast=0.3, gray=0.3)
    augmented = augment(to_float(contexts), draws())
    masked = random_crop(to_float(contexts), draws()).amax(dim=1) == 0
    assert masked.any()
    assert not augmented.amax(dim=1)[masked].any()


@pytest.mark.parametrize("augment", [EVERYTHING, CONTEXTS])
def test_same_generator_same_batch_and_values_in_range(augment):
    shape = (6, 128, 171, 3) if augment is CONTEXTS else (6, 96, 96, 3)
    images = to_float(torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(1)))
    first, again, other = (augment(images, draws(seed)) for seed in (3, 3, 4))
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
