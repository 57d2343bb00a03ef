"""How much a network's answers keep when faces are framed otherwise or contexts are swapped.

Imported by publish_weights.py. Every change is applied to the pairs of a store's split.
"""

import io
from collections.abc import Callable

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from glamor_cli.data.batches.draws import Draws
from glamor_cli.data.batches.synthetic_contexts import synthetic_contexts
from glamor_cli.data.options import SceneConfig
from glamor_cli.data.scenes.scene import draw_scene
from glamor_cli.network.gray import LUMA
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.vision.pairs import CONTEXT_SHAPE

Faces = NDArray[np.float32]
"""float32 [N, 3, 96, 96], RGB in [0, 1]; contexts alike, with 112."""

_BATCH = 32


def answers(runtime: Runtime, faces: Faces, contexts: Faces) -> NDArray[np.int64]:
    """Give the most probable class of each pair, int64 [N]."""
    return np.concatenate(
        [
            runtime(faces[start : start + _BATCH], contexts[start : start + _BATCH])
            .probabilities.argmax(axis=1)
            .astype(np.int64)
            for start in range(0, len(faces), _BATCH)
        ]
    )


def move(faces: Faces, *, zoom: float = 1.0, degrees: float = 0.0, shift: float = 0.0) -> Faces:
    """Zoom, turn and shift to the right (a share of the width); edges are repeated."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrix = torch.tensor([[cosine, -sine, -2 * shift], [sine, cosine, 0.0]], dtype=torch.float32)
    values = torch.from_numpy(faces)
    grid = F.affine_grid(matrix[None].expand(len(faces), 2, 3), list(values.shape), False)
    return F.grid_sample(values, grid, "bilinear", "border", align_corners=False).numpy()


def half_resolution(faces: Faces) -> Faces:
    """Halve what resolution FER2013's 48x48 pixels have: down to 24x24 and up again."""
    values = torch.from_numpy(faces)
    small = F.interpolate(values, size=(24, 24), mode="area")
    return F.interpolate(small, size=(96, 96), mode="bilinear", align_corners=False).numpy()


def compress(faces: Faces) -> Faces:
    """Write and read each face as JPEG at quality 40."""
    return np.stack([_compress_one(face) for face in faces])


def tint(faces: Faces) -> Faces:
    """Colour gray faces at random: dark and light ends each get a colour of their own."""
    rng = np.random.default_rng(0)
    dark = rng.uniform(0.0, 0.2, (len(faces), 3, 1, 1))
    light = rng.uniform(0.7, 1.0, (len(faces), 3, 1, 1))
    return (dark + (light - dark) * faces).astype(np.float32)


def gray(faces: Faces) -> Faces:
    """Give each picture's brightness in all three channels."""
    luma = np.einsum("nchw,c->nhw", faces, np.array(LUMA, np.float32))
    return np.repeat(luma[:, None], 3, axis=1)


FRAMINGS: dict[str, Callable[[Faces], Faces]] = {
    "face scaled by 0.8": lambda faces: move(faces, zoom=0.8),
    "face scaled by 1.25": lambda faces: move(faces, zoom=1.25),
    "shifted by 10% right": lambda faces: move(faces, shift=0.1),
    "shifted by 10% left": lambda faces: move(faces, shift=-0.1),
    "turned by 15 degrees": lambda faces: move(faces, degrees=15),
    "turned by -15 degrees": lambda faces: move(faces, degrees=-15),
    "JPEG at quality 40": compress,
    "half resolution": half_resolution,
}
"""Faces as detectors and cameras give them."""


def swapped_contexts(count: int) -> dict[str, Faces]:
    """Make contexts of several kinds, each float32 [count, 3, 112, 112]."""
    rng = np.random.default_rng(0)
    size = (count, 3, 112, 112)
    photographs = _photographs(count, rng)
    blurred = [image.filter(ImageFilter.GaussianBlur(6)) for image in photographs]
    scenes = (draw_scene(SceneConfig(), "test", index).image for index in range(count))
    generated = synthetic_contexts(count, Draws(torch.Generator().manual_seed(0))).numpy()
    return {
        "white": np.ones(size, np.float32),
        "gray": np.full(size, 0.5, np.float32),
        "noise": rng.random(size, np.float32),
        "generated pictures": generated,
        "generated scenes": np.stack([_crop(image, rng) for image in scenes]),
        "photographs": np.stack([_crop(image, rng) for image in photographs]),
        "blurred photographs": np.stack([_crop(image, rng) for image in blurred]),
    }


def _photographs(count: int, rng: np.random.Generator) -> list[Image.Image]:
    """Cut random windows out of the photographs that scikit-image carries."""
    names = ("astronaut", "chelsea", "coffee", "rocket", "camera", "brick", "grass", "gravel")
    images = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in names]
    windows = []
    for index in range(count):
        image = images[index % len(images)]
        side = int(rng.integers(112, min(image.size) + 1))
        x = int(rng.integers(0, image.width - side + 1))
        y = int(rng.integers(0, image.height - side + 1))
        windows.append(image.crop((x, y, x + side, y + side)))
    return windows


def _crop(image: Image.Image, rng: np.random.Generator) -> Faces:
    """Resize to the context's shape and cut a random 112x112 window, a square of it masked."""
    rows, columns = CONTEXT_SHAPE
    values = np.asarray(image.resize((columns, rows), Image.Resampling.BILINEAR), np.float32) / 255
    top, left = int(rng.integers(0, rows - 111)), int(rng.integers(0, columns - 111))
    window = values[top : top + 112, left : left + 112].copy()
    side = int(rng.integers(20, 70))
    y, x = (int(place) for place in rng.integers(0, 112 - side, 2))
    window[y : y + side, x : x + side] = 0  # where the face would be
    return window.transpose(2, 0, 1)


def _compress_one(face: Faces) -> Faces:
    pixels = (face.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=40)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
