"""What Pillow leaves to others in TIFF files: previews, planes, and gray of more than 8 bits."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from glamor_cli.errors import DataError

_KIND_TAG, _BITS_TAG, _PHOTOMETRIC_TAG, _PLANES_TAG, _SAMPLE_FORMAT_TAG = 254, 258, 262, 284, 339
"""Of TIFF 6.0."""
_PARTS_TAG = 330
"""Of TIFF's supplement 1: where pictures lie that belong to this one."""
_REDUCED = 1
"""A bit of the kind: a smaller version of another picture of the file."""
_WHITE_IS_ZERO = 0
_SEPARATE = 2
_UNSIGNED = 1


def refuse_preview(image: Image.Image, name: str) -> None:
    """Refuse a TIFF that begins with a thumbnail of its picture, as most cameras' raw files do.

    Raises:
        DataError: The first picture is a smaller version of another one.
    """
    if (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(_KIND_TAG, 0) & _REDUCED
        and (image.is_animated or _PARTS_TAG in image.tag_v2)
    ):
        raise DataError(
            f"{name} begins with a preview of {image.width}x{image.height} pixels, as cameras' raw "
            "files do, and the picture itself is not read",
            "Export it as JPEG or TIFF first.",
        )


def refuse_planes(image: Image.Image) -> None:
    """Refuse what Pillow decodes to noise without a word.

    Raises:
        ValueError: The image is an uncompressed TIFF of 16-bit colours in separate planes.
    """
    if (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(_PLANES_TAG) == _SEPARATE
        and max(image.tag_v2.get(_BITS_TAG, (1,))) > 8
        and image.info.get("compression") == "raw"
    ):
        raise ValueError("its colours of more than 8 bits lie in separate planes")


@dataclass(frozen=True)
class DeepGray:
    """What the values of gray pixels of more than 8 bits mean.

    Attributes:
        largest: The largest value there can be.
        white_is_zero: Whether 0 is white and the largest value black, and not the other way.
    """

    largest: int = 65535
    white_is_zero: bool = False

    @classmethod
    def of(cls, image: Image.Image) -> "DeepGray":
        """Ask a TIFF, whose values Pillow gives as they are; of other formats it scales them.

        Raises:
            ValueError: They are integers of a range that is not known.
        """
        if not isinstance(image, TiffImageFile) or not image.mode.startswith("I"):
            return cls()
        bits, *_ = image.tag_v2.get(_BITS_TAG, (1,))
        sample_format, *_ = image.tag_v2.get(_SAMPLE_FORMAT_TAG, (_UNSIGNED,))
        if bits > 16 or sample_format != _UNSIGNED:
            signed = "" if sample_format == _UNSIGNED else "signed "
            raise ValueError(f"pixels are {signed}{bits}-bit integers, whose range is not known")
        white_is_zero = image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
        return cls((1 << bits) - 1, white_is_zero)

    def to_rgb(self, pixels: NDArray[np.generic], transparent: object) -> NDArray[np.uint8]:
        """Scale gray values to 8 bits, rounding.

        Args:
            pixels: Integers [H, W].
            transparent: The value that is, if any.

        Returns:
            uint8 [H, W, 3].

        Raises:
            ValueError: One is beyond the largest value.
        """
        values = pixels.astype(np.int64)
        if values.min() < 0 or values.max() > self.largest:
            raise ValueError("pixels are 32-bit integers, whose range is not known")
        bytes_ = ((510 * values + self.largest) // (2 * self.largest)).astype(np.uint8)
        if self.white_is_zero:
            bytes_ = 255 - bytes_
        if isinstance(transparent, int):  # and no text of that name
            bytes_[values == transparent] = 0
        return np.repeat(bytes_[..., None], 3, axis=2)
