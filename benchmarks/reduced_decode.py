"""Ask whether JPEGs decoded at reduced scale would do for detection.

Portraits of a folder are pasted into large pictures. Each is decoded whole and at every scale that
still holds the detector's working size, and the boxes are compared:

    uv run python benchmarks/reduced_decode.py --photographs FOLDER

Writes ``benchmarks/results/reduced-decode-<hardware>.json``. A pair is sampled from the whole
picture in any case, so that the reduced decoding comes on top and must cost less than the resizing
that it spares.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from recording import RESULTS, record, summary

from glamor_cli.vision.centerface import CenterFace, CenterFaceConfig
from glamor_cli.vision.image_files import list_images
from glamor_cli.vision.images import read_image

SIZES = ((1920, 1080), (2600, 1400), (4000, 3000))
FACES = 4
SCALES = (2, 4)

Answer = TypeVar("Answer")


def main() -> None:
    """Decode, detect, compare, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of portraits")
    parser.add_argument("--count", type=int, default=8, help="pictures of each size")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    detector = CenterFace(threads=1)
    rows = []
    for size in SIZES:
        pictures = list(compose(options.photographs, size, options.count))
        for scale in SCALES:
            if size[0] / scale >= CenterFaceConfig.long_side:
                compared = compare(detector, pictures, scale)
                rows.append({"size": size, "scale": f"1/{scale}", **compared})
    record("reduced-decode", {"pictures_of_each_size": options.count, "rows": rows}, options.out)


def compose(folder: Path, size: tuple[int, int], count: int) -> Iterator[bytes]:
    """Make JPEGs of four portraits each on soft noise."""
    random = np.random.default_rng(0)
    width, height = size
    paths = list(list_images(folder))
    for _ in range(count):
        noise = random.integers(60, 180, (height // 40, width // 40, 3), dtype=np.uint8)
        picture = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        for column in range(FACES):
            portrait = Image.fromarray(read_image(paths[int(random.integers(len(paths)))]))
            side = int(random.integers(height // 5, min(height // 2, width // FACES)))
            place = (column * (width // FACES), int(random.integers(0, height - side)))
            picture.paste(portrait.resize((side, side), Image.Resampling.LANCZOS), place)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=92)
        yield buffer.getvalue()


def compare(detector: CenterFace, pictures: list[bytes], scale: int) -> dict[str, object]:
    """Milliseconds of CPU of both ways, and how far the boxes of kept faces move, in pixels."""
    times: dict[str, list[float]] = {"decode": [], "resize": [], "reduced_decode_and_resize": []}
    moved: list[float] = []
    lost = 0
    for picture in pictures:
        whole = _timed(times["decode"], lambda picture=picture: decode(picture, 1))
        _timed(
            times["reduced_decode_and_resize"],
            lambda picture=picture: shrink(decode(picture, scale)),
        )
        _timed(times["resize"], lambda whole=whole: shrink(whole))
        reference = detector.detect(whole).at_least(detector.min_score_predict)
        reduced = decode(picture, scale)
        factor = np.float32(whole.shape[1] / reduced.shape[1])
        boxes = detector.detect(reduced).boxes * factor
        for box in reference.boxes:
            nearest = np.abs(boxes - box).max(axis=1).min(initial=np.inf)
            lost += int(nearest > box[2] - box[0])
            moved.append(float(nearest))
    return {
        "cpu_ms": {name: summary(values, 1) for name, values in times.items()},
        "moved_pixels": summary([value for value in moved if np.isfinite(value)]),
        "moved_beyond_1_pixel": round(float(np.mean(np.array(moved) > 1)), 3),
        "faces": len(moved),
        "lost": lost,
    }


def decode(picture: bytes, scale: int) -> NDArray[np.uint8]:
    """Decode to RGB, at a scale of 1, 1/2, 1/4 or 1/8."""
    with Image.open(io.BytesIO(picture)) as image:
        image.draft("RGB", (image.width // scale, image.height // scale))
        return np.asarray(image)


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize to the detector's working size, as the detector does."""
    ratio = CenterFaceConfig.long_side / max(image.shape[:2])
    size = (round(image.shape[1] * ratio), round(image.shape[0] * ratio))
    return np.asarray(
        Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    )


def _timed(times: list[float], work: Callable[[], Answer]) -> Answer:
    began = time.process_time()
    answer = work()
    times.append((time.process_time() - began) * 1e3)
    return answer


if __name__ == "__main__":
    main()
