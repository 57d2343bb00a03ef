"""Short videos, drawn from scikit-image's astronaut."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
from PIL import Image

SIZE = (480, 320)
PORTRAIT = Image.fromarray(skimage.data.astronaut()).crop((130, 10, 330, 230))


def write_clip(
    path: Path,
    images: Iterable[Image.Image | np.ndarray],
    *,
    times: Iterable[float] | None = None,
    rate: int = 10,
    codec: str = "libx264",
    turned: tuple[float, bool] | None = None,
    aspect: Fraction | None = None,
    space: int | None = None,
    title: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Encode images, a key frame in each ten, at ``times`` in seconds or else evenly.

    Their colours are said to be in ``space``, one of FFmpeg's AVCOL_SPC.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        if title is not None:
            container.metadata["title"] = title
        stream = container.add_stream(codec, rate=rate)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(images):
            pixels = np.asarray(image)
            if number == 0:
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.codec_context.gop_size = 10
                if space is not None:
                    stream.codec_context.colorspace = space
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
                if turned is not None:
                    stream.set_display_rotation(turned[0], hflip=turned[1])
                due = iter(times) if times is not None else None
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels))
            if due is not None:
                frame.pts, frame.time_base = round(next(due) * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def grays(count: int, size: tuple[int, int] = (64, 48)) -> Iterator[np.ndarray]:
    """Frames that tell their number by their brightness."""
    for number in range(count):
        yield np.full((size[1], size[0], 3), gray(number), np.uint8)


def gray(number: int) -> int:
    """How bright a frame is."""
    return 20 + 7 * number


def background() -> Image.Image:
    return Image.new("RGB", SIZE, (70, 90, 80))


def add_portrait(
    image: Image.Image, scale: float, x: float, y: float, *, mirrored: bool = False
) -> None:
    portrait = PORTRAIT.resize((round(PORTRAIT.width * scale), round(PORTRAIT.height * scale)))
    if mirrored:
        portrait = portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image.paste(portrait, (round(x), round(y)))


def crossing(count: int = 20) -> Iterator[Image.Image]:
    """Two people pass each other, one hidden behind the other for a while."""
    for number in range(count):
        image, way = background(), 340 * number / (count - 1)
        add_portrait(image, 0.5, 350 - way, 90, mirrored=True)
        add_portrait(image, 0.6, 10 + way, 80)
        yield image


def coming_back(count: int = 40, gone: range = range(10, 28)) -> Iterator[Image.Image]:
    """One stays; another leaves and comes back."""
    for number in range(count):
        image = background()
        add_portrait(image, 0.5, 330, 100)
        if number not in gone:
            add_portrait(image, 0.7, 40, 60)
        yield image


def two_shots(each: int = 6) -> Iterator[Image.Image]:
    """One after the other at the same place, before different walls."""
    for wall, mirrored in (((70, 90, 80), False), ((215, 205, 190), True)):
        image = Image.new("RGB", SIZE, wall)
        add_portrait(image, 0.9, 120, 60, mirrored=mirrored)
        yield from [image] * each


def without_faces(count: int = 5) -> Iterator[Image.Image]:
    return (background() for _ in range(count))


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))
