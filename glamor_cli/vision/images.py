"""Finding image files and reading them safely: whatever is in the file, RGB or one clear error."""

import glob
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from glamor_cli.errors import DataError
from glamor_cli.listing import list_names, sort_bounded
from glamor_cli.reading import open_file
from glamor_cli.reasons import whole_reason_of

MAX_PIXELS = 89_478_485
"""Pixels of the largest image that is decoded, as Pillow's own bound: 256 MiB in RGB."""

MAX_FILE_BYTES = 1 << 30
"""A larger file is refused: some decoders read the whole file first."""

IMAGE_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""What an image's name ends in (in lower case), where folders and globs are searched."""

# Only decoders that run no other program; the common ones first, since Pillow tries them in order.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")

_BAND_PIXELS = 4_000_000

_BITS_TAG, _PHOTOMETRIC_TAG, _PLANES_TAG, _SAMPLE_FORMAT_TAG = 258, 262, 284, 339
"""Of TIFF 6.0."""
_WHITE_IS_ZERO = 0
_SEPARATE = 2
_UNSIGNED = 1

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


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as it is meant to be seen.

    The EXIF orientation is applied. Gray becomes three equal channels, of 12 and 16 bits scaled to
    8, not clipped; CMYK and palettes are converted. Transparent pixels are composited over black,
    the value of "nothing here" in this network's contexts. Of an animation the first frame is
    read. The number of pixels is checked before any is decoded.

    Returns:
        uint8 [H, W, 3], RGB, C-contiguous.

    Raises:
        DataError: There is no such file, or it is no image, damaged, cut short or too large.
    """
    try:
        with _quiet, open_file(path) as handle:
            if os.fstat(handle.fileno()).st_size > MAX_FILE_BYTES:
                raise DataError(
                    f"{path} has more than {MAX_FILE_BYTES >> 20} MiB",
                    "Shrink it first; so large a file is refused unread.",
                )
            with Image.open(handle, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise _too_large(path)
                _refuse_planes(image)
                image.load()
                gray = _deep_gray(image)
                return np.ascontiguousarray(_to_rgb(_upright(image), gray))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", "Check the path.") from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is not an image",
            "Give JPEG, PNG, WebP, TIFF, BMP, GIF, JPEG 2000, AVIF or PPM files.",
        ) from error
    except OSError as error:
        if error.errno is not None:
            raise DataError(
                f"cannot open {path}: {error.strerror}", "Give a readable image file."
            ) from error
        raise _damaged(path, error) from error
    except Exception as error:
        # On hostile bytes decoders raise nearly anything: ValueError, SyntaxError, struct.error...
        raise _damaged(path, error) from error


def count_pixels(path: Path) -> int:
    """Say how many pixels an image file holds, from its header; 0 if it cannot be read."""
    try:
        with _quiet, open_file(path) as handle:
            # WebP and AVIF are read whole for their header.
            if os.fstat(handle.fileno()).st_size > MAX_FILE_BYTES:
                return 0
            with Image.open(handle, formats=_FORMATS) as image:
                return image.width * image.height
    except Exception:
        # Reading it will say what is wrong.
        return 0


Report = Callable[[DataError], None]
"""Takes what went wrong with a part of a source, where the rest is gone on with."""


def list_images(source: Path, report: Report | None = None) -> Iterator[Path]:
    """List the image files of a source, one by one; see `list_files`."""
    return list_files(source, IMAGE_SUFFIXES, "images", report)


def list_files(
    source: Path, suffixes: frozenset[str], kind: str, report: Report | None = None
) -> Iterator[Path]:
    """List the files of a kind in a source, one by one.

    A file is listed whatever its name. In a folder, searched with its subfolders, and among the
    matches of a glob (``*``, ``?``, ``[...]``, ``**``), files count whose name ends like one of
    the kind and does not begin with a dot. Links to folders are followed, each folder once.

    Args:
        source: A file, a folder or a glob.
        suffixes: What their names end in, in lower case.
        kind: What they are called, in the plural.
        report: Called for each folder that cannot be read, which is then passed over; None raises.

    Yields:
        Paths that begin with ``source`` (or match it), in the order of their names, folder by
        folder: the same on every machine.

    Raises:
        DataError: There is no such source, a folder cannot be read, or none is in it.
    """
    if source.is_file():
        yield source
        return
    reported: list[DataError] = []

    def pass_over(error: DataError) -> None:
        if report is None:
            raise error
        reported.append(error)
        report(error)

    if source.is_dir():
        paths, place = _walk(source, suffixes, pass_over), "folder"
    elif glob.has_magic(str(source)):
        paths, place = _matches(source, suffixes, pass_over), "pattern"
    elif source.exists():
        raise DataError(f"{source} is neither a file nor a folder", "Give a file.")
    else:
        raise DataError(f"there is no file or folder {source}", "Check the path.")
    empty = True
    for path in paths:
        empty = False
        yield path
    if empty and not reported:
        raise DataError(
            f"the {place} {source} holds no {kind}",
            f"{kind.capitalize()} are files that end in {', '.join(sorted(suffixes))}.",
        )


def _walk(top: Path, suffixes: frozenset[str], pass_over: Report) -> Iterator[Path]:
    """Walk a folder in the order of names, each folder once: links may make loops."""
    seen: set[tuple[int, int]] = set()
    # A stack, not recursion: folders may be nested deeper than calls.
    waiting = [(top, _entries(top, seen, pass_over))]
    while waiting:
        folder, entries = waiting[-1]
        for name, is_folder in entries:
            path = folder / name
            if is_folder and not name.startswith("."):
                waiting.append((path, _entries(path, seen, pass_over)))
                break
            if _is_of_kind(path, suffixes) and _is_file(path, pass_over):
                yield path
        else:
            waiting.pop()


def _entries(
    folder: Path, seen: set[tuple[int, int]], pass_over: Report
) -> Iterator[tuple[str, bool]]:
    """List a folder that is not in ``seen`` yet; it is then."""
    try:
        identity = folder.stat()
        if (identity.st_dev, identity.st_ino) not in seen:
            seen.add((identity.st_dev, identity.st_ino))
            yield from list_names(folder)
    except OSError as error:
        pass_over(
            DataError(
                f"cannot read the folder {folder}: {error.strerror}", "Check its permissions."
            )
        )


def _is_file(path: Path, pass_over: Report) -> bool:
    """Whether a path is a file; in a folder that may be listed but not entered nobody can tell."""
    try:
        return path.is_file()
    except OSError as error:
        pass_over(DataError(f"cannot open {path}: {error.strerror}", "Check its permissions."))
        return False


def _matches(pattern: Path, suffixes: frozenset[str], pass_over: Report) -> Iterator[Path]:
    """The files of a kind that match a glob, in the order of their names."""
    previous = None
    for name, _ in sort_bounded((str(path), False) for path in _expand(pattern, pass_over)):
        path = Path(name)
        if name != previous and _is_of_kind(path, suffixes) and _is_file(path, pass_over):
            yield path
        previous = name


def _expand(pattern: Path, pass_over: Report) -> Iterator[Path]:
    """Expand a glob, for ``**`` each folder once, where glob itself follows links round loops."""
    segments: list[list[str]] = [[]]
    for part in pattern.parts:
        if part != "**":
            segments[-1].append(part)
        elif len(segments) == 1 or segments[-1]:
            segments.append([])
    first, *others = segments
    found = _matches_in((Path(),), first) if first else iter((Path(),))
    for segment in others:
        found = _matches_in(_folders_below(found, pass_over), segment or ["*"])
    return found


def _matches_in(folders: Iterable[Path], parts: list[str]) -> Iterator[Path]:
    """What matches a glob without ``**`` in each of the folders."""
    for folder in folders:
        # Path.glob takes no absolute pattern, which is what a user may well give.
        for name in glob.iglob(str(Path(*parts)), root_dir=folder):  # noqa: PTH207
            yield folder / name


def _folders_below(tops: Iterable[Path], pass_over: Report) -> Iterator[Path]:
    """List folders and those in them, as ``_walk`` goes through them."""
    seen: set[tuple[int, int]] = set()
    for top in tops:
        waiting = [top] if top.is_dir() else []
        while waiting:
            folder = waiting.pop()
            known = len(seen)
            within = [
                folder / name
                for name, is_folder in _entries(folder, seen, pass_over)
                if is_folder and not name.startswith(".")
            ]
            if len(seen) > known:
                yield folder
                waiting += reversed(within)


def _is_of_kind(path: Path, suffixes: frozenset[str]) -> bool:
    # Files that begin with a dot are what systems leave behind, like "._photo.jpg".
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; EXIF that cannot be read turns nothing."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:
        return image
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _refuse_planes(image: Image.Image) -> None:
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
class _DeepGray:
    """What the values of gray pixels of more than 8 bits mean.

    Attributes:
        largest: The largest value there can be.
        is_black: Whether that is black, and not white.
    """

    largest: int = 65535
    is_black: bool = False


def _deep_gray(image: Image.Image) -> _DeepGray:
    """Ask a TIFF, whose values Pillow gives as they are; of other formats it scales them.

    Raises:
        ValueError: They are integers of a range that is not known.
    """
    if not isinstance(image, TiffImageFile) or not image.mode.startswith("I"):
        return _DeepGray()
    bits, *_ = image.tag_v2.get(_BITS_TAG, (1,))
    sample_format, *_ = image.tag_v2.get(_SAMPLE_FORMAT_TAG, (_UNSIGNED,))
    if bits > 16 or sample_format != _UNSIGNED:
        signed = "" if sample_format == _UNSIGNED else "signed "
        raise ValueError(f"pixels are {signed}{bits}-bit integers, whose range is not known")
    is_black = image.tag_v2.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO
    return _DeepGray((1 << bits) - 1, is_black)


def _to_rgb(image: Image.Image, gray: _DeepGray) -> NDArray[np.uint8]:
    """Convert any mode of Pillow's to uint8 [H, W, 3]."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return np.asarray(image)
    rows = max(1, _BAND_PIXELS // image.width)
    if rows >= image.height:
        return _band_to_rgb(image, gray)
    # In bands, lest a large image be held in three or four forms at once.
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        pixels[top:bottom] = _band_to_rgb(image.crop((0, top, image.width, bottom)), gray)
    return pixels


def _band_to_rgb(image: Image.Image, gray: _DeepGray) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        return _from_deep_gray(np.asarray(image), gray)
    if image.mode == "F":
        raise ValueError("pixels are floats, whose range is not known")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size)
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(image.convert("RGB"))


def _from_deep_gray(pixels: NDArray[np.generic], gray: _DeepGray) -> NDArray[np.uint8]:
    """Scale gray values, integers [H, W], to uint8 [H, W, 3], rounding."""
    values = pixels.astype(np.int64)
    if values.min() < 0 or values.max() > gray.largest:
        raise ValueError("pixels are 32-bit integers, whose range is not known")
    bytes_ = ((510 * values + gray.largest) // (2 * gray.largest)).astype(np.uint8)
    if gray.is_black:
        bytes_ = 255 - bytes_
    return np.repeat(bytes_[..., None], 3, axis=2)


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path} has more than {MAX_PIXELS / 1e6:.0f} million pixels",
        "Shrink it first; so large an image is refused before it is decoded.",
    )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be decoded: {whole_reason_of(error)}", "Replace the file, or leave it out."
    )


class _Quiet(AbstractContextManager[None]):
    """Silence Pillow's warnings, on damaged metadata and the like, while any thread reads.

    ``warnings.catch_warnings`` alone would not do: it restores a state of the whole process, and
    readers in several threads would restore each other's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                self._saved.__exit__(None, None, None)


_quiet = _Quiet()
