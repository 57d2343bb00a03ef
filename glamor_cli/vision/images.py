"""Reading image files safely: whatever is in the file, RGB or one clear error."""

import errno
import io
import os
import re
import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from glamor_cli.errors import DataError, is_lack_of_memory, whole_reason_of
from glamor_cli.files.reading import open_file
from glamor_cli.vision.heif import HEIF_FORMAT, is_heif, require_heif
from glamor_cli.vision.tiff import DeepGray, refuse_planes, refuse_preview

MAX_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded, as Pillow's own bound: 256 MiB in RGB."""

MAX_FILE_BYTES = 1 << 30
"""A larger file is refused: some decoders read the whole file first."""

# Only decoders that run no other program; the common ones first, since Pillow tries them in order.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")

_BEGINNINGS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
"""Of files that have many kinds, some of which Pillow does not read."""

_JPEGS = ("JPEG", "MPO")
"""The second is several in one file, as stereo cameras write them."""
_SCAN = b"\xff\xda"
"""Begins each scan of a JPEG, which none holds within."""
_MOST_SCANS = 200
"""Of a JPEG. Progressive ones have some ten; each goes over all pixels, and may take few bytes."""
_BYTES_PER_CHANCE = 1 << 15
"""Cameras put videos behind a picture, where twice as many bytes hold one such pair by chance."""
_READ_BYTES = 1 << 20

_BAND_PIXELS = 500_000

_PILLOW = r"PIL\b"
_METADATA_WARNINGS = ("ignore", None, UserWarning, re.compile(_PILLOW), 0)
"""A filter, as the standard library keeps them, of what Pillow says of damaged metadata."""
_BOMB_WARNINGS = ("ignore", None, Image.DecompressionBombWarning, None, 0)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(path: str | Path | IO[bytes]) -> NDArray[np.uint8]:
    """Read an image file as it is meant to be seen.

    The EXIF orientation is applied. Gray becomes three equal channels, of 12 and 16 bits scaled to
    8, not clipped; CMYK and palettes are converted. Transparent pixels are composited over black,
    the value of "nothing here" in this network's contexts; a BMP that is all transparent is taken
    for opaque. Of an animation the first frame is read. The number of pixels is checked before any
    is decoded. HEIF needs the extra ``heif``. Its and AVIF's pictures of a high dynamic range (PQ,
    HLG) are read as they are stored, too flat.

    Args:
        path: The file; or one that is open for reading bytes, as uploads are, or
            ``io.BytesIO(data)``. That is read from its beginning, and stays open.

    Returns:
        uint8 [H, W, 3], RGB, C-contiguous; it may be read-only.

    Raises:
        DataError: There is no such file, or it is not an image, damaged, cut short or too large.
        TypeError: It is neither a path nor a file that is open for reading bytes.
    """
    name = _name_of(path)
    try:
        _ignore_warnings()
        with _opened(path) as handle:
            handle.seek(0, os.SEEK_END)  # which says nothing in a memory map
            if handle.tell() > MAX_FILE_BYTES:
                raise DataError(
                    f"{name} has more than {MAX_FILE_BYTES >> 20} MiB",
                    "Shrink it first; files this large are not read.",
                )
            with _open_image(handle, name) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(name)
                refuse_preview(image, name)
                refuse_planes(image)
                _refuse_scans(image, handle)
                image.load()
                gray = DeepGray.of(image)
                shown = _upright(image.convert("RGB") if _has_empty_alpha(image) else image)
                return np.ascontiguousarray(_to_rgb(shown, gray))
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except FileNotFoundError as error:
        raise DataError(f"there is no file {name}", "Check the path.") from error
    except io.UnsupportedOperation as error:
        if not getattr(path, "readable", lambda: True)():
            raise _not_readable(path) from error
        raise _cannot_seek(name) from error
    except OSError as error:
        if error.errno == errno.ESPIPE:
            raise _cannot_seek(name) from error
        if error.errno is not None:
            raise DataError(
                f"cannot open {name}: {error.strerror}", "Give a readable image file."
            ) from error
        raise _damaged(name, error) from error
    except Exception as error:
        # On hostile bytes decoders raise nearly anything: ValueError, SyntaxError, struct.error...
        raise _damaged(name, error) from error


def _name_of(path: object) -> str:
    """Name a file for messages.

    Raises:
        TypeError: It is neither a path nor a file that is open for reading bytes.
    """
    if isinstance(path, str | Path):
        return str(Path(path))
    is_file = all(hasattr(path, method) for method in ("read", "seek", "tell"))
    if not is_file or isinstance(path, io.TextIOBase):
        raise _not_readable(path)
    return "the image"


def _not_readable(path: object) -> TypeError:
    return TypeError(
        "an image is read from a path or a file open for reading bytes, not "
        f"{type(path).__name__}: for bytes give io.BytesIO(data)"
    )


def _opened(path: str | Path | IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    return open_file(Path(path)) if isinstance(path, str | Path) else nullcontext(path)


def _open_image(file: IO[bytes], name: str) -> Image.Image:
    """Read an image's header.

    Raises:
        DataError: It is of no kind that is read, or the extra for HEIF pictures is not installed.
    """
    heif = is_heif(file)
    if heif:
        require_heif(name)
    try:
        return Image.open(file, formats=(HEIF_FORMAT,) if heif else _FORMATS)
    except UnidentifiedImageError as error:
        raise _unknown(file, name) from error


def count_pixels(path: Path) -> int:
    """Say how many pixels an image file holds, from its header; 0 if it cannot be read."""
    try:
        _ignore_warnings()
        with open_file(path) as handle:
            # WebP and AVIF are read whole for their header.
            if os.fstat(handle.fileno()).st_size > MAX_FILE_BYTES:
                return 0
            with _open_image(handle, str(path)) as image:
                return image.width * image.height
    except Exception:
        # Reading it will say what is wrong.
        return 0


def is_turned(path: Path) -> bool:
    """Say whether an image is turned or mirrored as it is read, because of its EXIF orientation."""
    try:
        _ignore_warnings()
        with open_file(path) as handle, _open_image(handle, str(path)) as image:
            # HEIC is turned while it is decoded, and only this remembers it.
            original = image.info.get("original_orientation")
            return _turn(image) is not None or original not in (None, 1)
    except Exception:
        return False


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation."""
    method = _turn(image)
    return image if method is None else image.transpose(method)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Say what makes an image upright; EXIF that cannot be read turns nothing."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:
        return None
    return _UPRIGHT.get(orientation) if isinstance(orientation, int) else None


def _refuse_scans(image: Image.Image, file: IO[bytes]) -> None:
    """Refuse what a few hundred kilobytes could keep a decoder busy with for minutes.

    Raises:
        ValueError: The image is a JPEG of far more scans than its size explains.
    """
    if image.format not in _JPEGS:
        return
    file.seek(0)
    scans = sum(piece.count(_SCAN) for piece in iter(partial(file.read, _READ_BYTES), b""))
    if scans > _MOST_SCANS + file.tell() // _BYTES_PER_CHANCE:
        raise ValueError(f"it has {scans} scans, and no picture needs as many")


def _has_empty_alpha(image: Image.Image) -> bool:
    """Say whether all of a BMP is transparent: many programs leave its fourth channel empty."""
    is_bmp = image.format == "BMP" and image.mode == "RGBA"
    return is_bmp and image.getchannel("A").getbbox() is None


def _to_rgb(image: Image.Image, gray: DeepGray) -> NDArray[np.uint8]:
    """Convert any mode of Pillow's to uint8 [H, W, 3]."""
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        return _band_to_rgb(image, gray)
    # In bands, so that a large image is never held in three or four forms at once.
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _band_to_rgb(image.crop((0, top, image.width, bottom)), gray)
    return pixels


def _band_to_rgb(image: Image.Image, gray: DeepGray) -> NDArray[np.uint8]:
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode.startswith("I"):
        # Pillow knows of no transparency here; only PNG has any, and names the one value.
        return gray.to_rgb(np.asarray(image), image.info.get("transparency"))
    if image.mode == "F":
        raise ValueError("pixels are floats, whose range is not known")
    if image.mode == "La":
        # A TIFF's gray that is multiplied by its alpha, as over black; Pillow cannot convert it.
        image = image.getchannel(0)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size)
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(image.convert("RGB"))


def _cannot_seek(name: str) -> DataError:
    return DataError(
        f"{name} comes from a stream that cannot seek", "Give io.BytesIO(stream.read())."
    )


def _unknown(file: IO[bytes], name: str) -> DataError:
    file.seek(0)
    head = file.read(4)
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return DataError(
                f"{name} is a {kind} file of a kind that is not read, or its header is damaged",
                "Save it anew with 8 bits for each colour, or replace it.",
            )
    return DataError(
        f"{name} is not an image of a known kind",
        "Give JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF, HEIF or PPM files.",
    )


def _too_large(name: str) -> DataError:
    return DataError(
        f"{name} has more than {MAX_PIXELS / 1e6:.0f} million pixels",
        "Shrink it first; images this large are refused before they are decoded.",
    )


def _damaged(name: str, error: Exception) -> DataError:
    if is_lack_of_memory(error):
        return DataError(
            f"there is not enough memory to read {name}", "Shrink the image, or free memory."
        )
    return DataError(
        f"{name} cannot be decoded: {whole_reason_of(error)}", "Replace the file, or leave it out."
    )


def _ignore_warnings() -> None:
    """Ignore what Pillow says of damaged metadata and large images, in this process from now on.

    Taking the filters back after reading would be worse: they are the whole process's, and readers
    in threads would take away those that others, and the caller's own program, have set meanwhile.
    """
    # Whoever catches warnings brings older filters back, or has put others before this, or none.
    if _METADATA_WARNINGS not in warnings.filters[:1]:
        warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOW)
    # Last, so that a program that makes an error of it, as a guard, keeps that guard.
    # Set once: each time the program's own warnings would be shown anew.
    if _BOMB_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)
