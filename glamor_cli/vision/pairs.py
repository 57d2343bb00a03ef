"""From an image and a box to a face/context pair, by sampling (docs/official-program.md, Pairs).

Resizing a 4K frame to 128x171 without antialiasing reads only 2*128 rows and 2*171 columns of it.
So nothing is ever resized whole: the pixels that count are gathered, masked and blended.
"""

import importlib
from dataclasses import dataclass
from io import BytesIO
from operator import index
from types import ModuleType
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glamor_cli.errors import DataError
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.system.extras import importing, install_extra
from glamor_cli.vision.faces import check_image

FACE_SHAPE = (FACE_SIZE, FACE_SIZE)
"""Rows and columns of a face."""
CONTEXT_SHAPE = (128, 171)
"""Rows and columns of a whole context, before cropping."""
CONTEXT_CROP = (CONTEXT_SIZE, CONTEXT_SIZE)
"""Rows and columns of the context that the network sees."""
EVALUATION_ROWS = slice(8, 120)
EVALUATION_COLUMNS = slice(29, 141)
"""Where evaluation and prediction crop; training crops at random."""

_WHITE = np.float32(255)
_EXTRA = install_extra("official-jpeg")
_MAX_JPEG_SIDE = 65_500
"""Of libjpeg's encoder."""


class Box(NamedTuple):
    """A face's box in whole pixels; x2 and y2 are exclusive."""

    x1: int
    y1: int
    x2: int
    y2: int


WholeBox: TypeAlias = Box | tuple[int, int, int, int]
"""A ``Box``, or its four integers."""
MAX_COORDINATE = 10**7
"""A box that reaches farther is none."""
NO_FACE = Box(0, 0, 0, 0)
"""The authors' mark for an image without a face: a zero face, and nothing masked."""


@dataclass(frozen=True, eq=False)
class Pair:
    """What the network sees of one person.

    Attributes:
        face: float32 [3, 96, 96], RGB in [0, 1].
        context: float32 [3, 112, 112], RGB in [0, 1], zero where the face is.
    """

    face: NDArray[np.float32]
    context: NDArray[np.float32]


def round_box(box: NDArray[np.float32]) -> Box:
    """Round a detector's box (x1, y1, x2, y2 in pixels) to whole pixels.

    Raises:
        DataError: A corner is not finite.
    """
    if not np.isfinite(box).all():
        raise DataError(f"the box {box} has corners that are not finite", "Leave this face out.")
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    return Box(x1, y1, x2, y2)


def clip_box(box: WholeBox, height: int, width: int) -> Box:
    """Clip a box to an image.

    Returns:
        The part of it that lies in the image. ``NO_FACE`` for ``NO_FACE`` and, as in the authors'
        program, for a box that lies beyond the image's upper left corner.

    Raises:
        DataError: The box is not of integers, or it is any other box of which nothing lies in the
            image.
    """
    box = _whole(box)
    clipped = Box(
        min(max(box.x1, 0), width),
        min(max(box.y1, 0), height),
        min(max(box.x2, 0), width),
        min(max(box.y2, 0), height),
    )
    if clipped != NO_FACE and (clipped.x1 >= clipped.x2 or clipped.y1 >= clipped.y2):
        raise DataError(
            f"the box {tuple(box)} is empty inside an image of {width}x{height} pixels",
            "Give boxes as x1,y1,x2,y2 with x1 < x2 and y1 < y2, or 0,0,0,0 for no face.",
        )
    return clipped


def _whole(box: WholeBox) -> Box:
    """Refuse a box whose corners lie between pixels, as a detector's do."""
    try:
        x1, y1, x2, y2 = map(index, box)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the box {box} is not x1,y1,x2,y2 in whole pixels",
            "Round a detector's box with glamor_cli.vision.pairs.round_box.",
        ) from error
    return Box(x1, y1, x2, y2)


def make_pair(image: NDArray[np.uint8], box: WholeBox, *, official_jpeg: bool = False) -> Pair:
    """Make the pair that evaluation and prediction use.

    Args:
        image: uint8 [H, W, 3], RGB.
        box: The face's box; clipped to the image. ``NO_FACE`` gives a zero face.
        official_jpeg: Pass the masked image through JPEG, as the authors' program does.

    Raises:
        DataError: The image has another shape or type, or the box is empty or not of integers.
        BackendUnavailable: ``official_jpeg`` without simplejpeg.
    """
    face = sample_face(image, box)
    if official_jpeg:
        whole = sample_context(image, box, official_jpeg=True)
        context = whole[EVALUATION_ROWS, EVALUATION_COLUMNS]
    else:
        context = _sample_masked(
            image, clip_box(box, *image.shape[:2]), EVALUATION_ROWS, EVALUATION_COLUMNS
        )
    return Pair(
        np.ascontiguousarray(face.transpose(2, 0, 1)),
        np.ascontiguousarray(context.transpose(2, 0, 1)),
    )


def sample_face(image: NDArray[np.uint8], box: WholeBox) -> NDArray[np.float32]:
    """Sample a box of the image as float32 [96, 96, 3], RGB in [0, 1].

    Args:
        image: uint8 [H, W, 3], RGB.
        box: The face's box; clipped to the image. ``NO_FACE`` gives zeros.

    Raises:
        DataError: The image has another shape or type, or the box is empty or not of integers.
    """
    check_image(image)
    clipped = clip_box(box, *image.shape[:2])
    if clipped == NO_FACE:
        return np.zeros((*FACE_SHAPE, 3), np.float32)
    rows = _Taps.of(clipped.y2 - clipped.y1, FACE_SHAPE[0], start=clipped.y1)
    columns = _Taps.of(clipped.x2 - clipped.x1, FACE_SHAPE[1], start=clipped.x1)
    return _blend(image, rows, columns, NO_FACE, np.float32(1)) / _WHITE


def sample_context(
    image: NDArray[np.uint8], box: WholeBox, *, official_jpeg: bool = False
) -> NDArray[np.float32]:
    """Sample the whole image, the box masked, as float32 [128, 171, 3], RGB in [0, 1].

    Args:
        image: uint8 [H, W, 3], RGB.
        box: The face's box; clipped to the image. ``NO_FACE`` masks nothing.
        official_jpeg: Pass the masked image through JPEG, as the authors' program does. It is
            slower and moves the context by 0.004 on average.

    Raises:
        DataError: The image has another shape or type, or the box is empty or not of integers.
        BackendUnavailable: ``official_jpeg`` without simplejpeg.
    """
    check_image(image)
    clipped = clip_box(box, *image.shape[:2])
    if official_jpeg:
        masked = image.copy()
        masked[clipped.y1 : clipped.y2, clipped.x1 : clipped.x2] = 0
        image, clipped = _jpeg_round_trip(masked), NO_FACE
    return _sample_masked(image, clipped, slice(None), slice(None))


def to_uint8(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round values in [0, 1] to uint8, as the pair store keeps them."""
    rounded: NDArray[np.uint8] = np.rint(values * _WHITE).astype(np.uint8)
    return rounded


def to_picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn a face or context of a pair, float32 [3, H, W] in [0, 1], to uint8 [H, W, 3]."""
    return to_uint8(values.transpose(1, 2, 0))


def crop_context(context: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the evaluation's 112x112 out of stored contexts, [..., 128, 171, 3]."""
    return context[..., EVALUATION_ROWS, EVALUATION_COLUMNS, :]


def _sample_masked(
    image: NDArray[np.uint8], box: Box, rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Sample the given rows and columns of the 128x171 context with ``box`` set to zero."""
    return _blend(
        image,
        _Taps.of(image.shape[0], CONTEXT_SHAPE[0], rows),
        _Taps.of(image.shape[1], CONTEXT_SHAPE[1], columns),
        box,
        1 / _WHITE,
    )


@dataclass(frozen=True, eq=False)
class _Taps:
    """Along one axis, the two source positions of each output position and the second's share."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    share: NDArray[np.float32]

    @staticmethod
    def of(source: int, target: int, keep: slice = slice(None), start: int = 0) -> "_Taps":
        """Half-pixel centres, no antialiasing, in float32 as TensorFlow counts.

        The ``source`` positions begin at ``start``; of the ``target`` ones some may be kept.
        """
        scale = np.float32(source) / np.float32(target)
        position = (np.arange(target, dtype=np.float32)[keep] + np.float32(0.5)) * scale
        position -= np.float32(0.5)
        floor = np.floor(position)
        first = np.maximum(floor, 0).astype(np.intp)
        second = np.minimum(np.ceil(position), source - 1).astype(np.intp)
        return _Taps(first + start, second + start, position - floor)


def _blend(
    image: NDArray[np.uint8],
    rows: _Taps,
    columns: _Taps,
    mask: Box,
    scale: np.float32,
) -> NDArray[np.float32]:
    """Gather four pixels per output position, zero those inside ``mask``, scale and blend them.

    TensorFlow scales a context's pixels before blending and a face's after; to the last bit the
    order matters.
    """
    flat = image.reshape(-1, 3)
    share = np.repeat(columns.share, 3)

    def corner(row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float32]:
        pixels = flat.take(row[:, None] * image.shape[1] + column, axis=0)
        top, bottom = np.searchsorted(row, (mask.y1, mask.y2))
        left, right = np.searchsorted(column, (mask.x1, mask.x2))
        pixels[top:bottom, left:right] = 0
        # With the channels in the columns NumPy's loops are long, which is several times faster.
        values: NDArray[np.float32] = pixels.reshape(len(row), -1).astype(np.float32)
        values *= scale
        return values

    # Enlarging needs most rows of the image several times.
    used, places = np.unique(np.stack([rows.first, rows.second]), return_inverse=True)
    across = _mix(corner(used, columns.first), corner(used, columns.second), share)
    above, below = across.take(places, axis=0)
    blended = _mix(above, below, rows.share[:, None])
    return blended.reshape(len(rows.first), len(columns.first), 3)


def _mix(
    first: NDArray[np.float32], second: NDArray[np.float32], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Blend in place of ``second``, whose share is given."""
    second -= first
    second *= share
    second += first
    return second


def _import_simplejpeg() -> ModuleType:
    with importing("simplejpeg", "the official JPEG step needs simplejpeg", _EXTRA):
        return importlib.import_module("simplejpeg")


def jpeg_step_version() -> str:
    """Tell the version of the package that the authors' JPEG step depends on.

    Raises:
        BackendUnavailable: It is not installed here.
    """
    return str(_import_simplejpeg().__version__)


def _jpeg_round_trip(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Encode and decode as the authors' program does: quality 95, 4:2:0, fast integer DCT."""
    simplejpeg = _import_simplejpeg()
    height, width = image.shape[:2]
    if max(height, width) > _MAX_JPEG_SIDE:
        raise DataError(
            f"an image of {width}x{height} pixels is too large for the official JPEG step",
            f"Shrink it to at most {_MAX_JPEG_SIDE} pixels a side, or leave that step out.",
        )
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    decoded = simplejpeg.decode_jpeg(buffer.getvalue(), "RGB", fastdct=True, fastupsample=False)
    return np.asarray(decoded, np.uint8)
