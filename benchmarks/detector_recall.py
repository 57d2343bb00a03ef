"""Choose the detector's working size: the recall of faces of known size, and its price.

Heads are cut out of a folder of photographs, and pasted, so that the face has a given width, into
712x400 scenes with four backgrounds, several to a scene. For every working size:

    uv run python benchmarks/detector_recall.py --photographs FOLDER

Writes ``benchmarks/results/detector-recall-<hardware>.json``: the share of faces found by face
width, false finds, and CPU milliseconds per scene; last with OpenVINO where that is faster.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from preprocess import HEIGHT, WIDTH
from recording import RESULTS, record

from glamor_cli.vision.centerface import (
    CenterFace,
    CenterFaceConfig,
    gains_from_openvino,
)
from glamor_cli.vision.faces import Faces
from glamor_cli.vision.image_files import list_images
from glamor_cli.vision.images import read_image
from glamor_cli.vision.options import LONG_SIDE, DetectorEngine
from glamor_cli.vision.overlap import intersection_over_union

WIDTHS = (20, 24, 32, 40, 64, 100, 200)
LONG_SIDES = (640, 736, 832, 960, 1280)
HEAD = 1.8
"""Side of the square that is cut out, in faces' sides, as far as the photograph reaches."""
SURE = 0.6
"""The least score of a face that is cut out, at the photograph's own size."""
MATCH = 0.5
"""A find is right when it overlaps the pasted face by this intersection over union."""


@dataclass(frozen=True)
class Head:
    """A head cut out of a photograph, uint8 [H, W, 3], and the face's box [4] in its pixels."""

    pixels: NDArray[np.uint8]
    box: NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [400, 712, 3], and the boxes [n, 4] of the faces pasted into it."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]


def main() -> None:
    """Compose the scenes, look for the faces at every size, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of portraits")
    parser.add_argument("--heads", type=int, default=48)
    parser.add_argument("--long-sides", type=int, nargs="+", default=LONG_SIDES)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    heads = cut_heads(options.photographs, options.heads)
    scenes = {width: list(compose(heads, width)) for width in WIDTHS}
    rows = [measure(long_side, scenes) for long_side in options.long_sides]
    if gains_from_openvino():
        rows += [measure(LONG_SIDE, scenes, DetectorEngine.OPENVINO)]
    figures = {
        "heads": len(heads),
        "scenes": sum(map(len, scenes.values())),
        "least_score": CenterFace.min_score_predict,
        "working_sizes": rows,
    }
    record("detector-recall", figures, options.out)


def cut_heads(folder: Path, count: int) -> list[Head]:
    """Cut heads out of photographs spread over the folder, those of which the face is sure."""
    detector = CenterFace(threads=1)
    paths = list(list_images(folder))
    heads: list[Head] = []
    for index in np.random.default_rng(0).permutation(len(paths)):
        image = read_image(paths[index])
        faces = detector.detect(image).at_least(SURE)
        if len(faces) != 1:
            continue
        box = faces.boxes[0]
        centre, half = (box[:2] + box[2:]) / 2, HEAD / 2 * (box[2] - box[0])
        left, top = np.maximum(np.rint(centre - half), 0).astype(int)
        right, bottom = np.rint(centre + half).astype(int)
        pixels = image[top:bottom, left:right]
        heads.append(Head(pixels, (box - [left, top, left, top]).astype(np.float32)))
        if len(heads) == count:
            return heads
    raise SystemExit(f"{folder} has only {len(heads)} portraits of which the detector is sure")


def compose(heads: list[Head], width: int) -> Iterator[Scene]:
    """Paste every head once, so that the face is ``width`` pixels wide."""
    random = np.random.default_rng(width)
    side = round(width * HEAD)
    columns, rows = WIDTH // (side + 8), HEIGHT // (side + 8)
    per_scene = min(columns * rows, 8)
    for number, start in enumerate(range(0, len(heads), per_scene)):
        image = Image.fromarray(_background(number))
        boxes = []
        places = random.permutation(columns * rows)
        for head, place in zip(heads[start : start + per_scene], places, strict=False):
            left = place % columns * (WIDTH // columns) + int(random.integers(0, 8))
            top = place // columns * (HEIGHT // rows) + int(random.integers(0, 8))
            scale = width / (head.box[2] - head.box[0])
            size = [max(1, round(length * scale)) for length in head.pixels.shape[1::-1]]
            small = Image.fromarray(head.pixels).resize(size, Image.Resampling.BOX)
            image.paste(small, (left, top))
            boxes.append(head.box * scale + np.array([left, top, left, top]))
        yield Scene(np.asarray(image), np.array(boxes, np.float32))


def measure(
    long_side: int, scenes: dict[int, list[Scene]], engine: DetectorEngine = DetectorEngine.CPU
) -> dict[str, object]:
    """Look for the faces at one working size."""
    # A small image is enlarged to the same size, up to twice.
    small_side = min(long_side, 2 * WIDTH) if long_side > WIDTH else CenterFaceConfig.small_side
    config = CenterFaceConfig(long_side=long_side, small_side=small_side)
    detector = CenterFace(config, threads=1, engine=engine)
    recall: dict[str, float] = {}
    false, times = 0, []
    for width, of_width in scenes.items():
        found = 0
        for scene in of_width:
            began = time.process_time()
            faces = detector.detect(scene.image).at_least(detector.min_score_predict)
            times.append((time.process_time() - began) * 1e3)
            right = _matches(faces, scene.boxes)
            found += int(right.any(axis=1).sum())
            false += int((~right.any(axis=0)).sum())
        recall[str(width)] = round(found / sum(len(scene.boxes) for scene in of_width), 3)
    return {
        "long_side": long_side,
        "engine": "openvino bf16" if engine is DetectorEngine.OPENVINO else "onnxruntime fp32",
        "cpu_p50_ms": round(statistics.median(times), 1),
        "false_finds": false,
        "recall_by_face_width": recall,
    }


def _matches(faces: Faces, boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which find, [.., n], is which pasted face, [m, ..]."""
    overlaps = [intersection_over_union(box, faces.boxes) >= MATCH for box in boxes]
    return np.array(overlaps, bool).reshape(len(boxes), len(faces))


def _background(number: int) -> NDArray[np.uint8]:
    """One of four: flat, soft noise, a table with a cup, a rocket on its pad."""
    kind = number % 4
    if kind == 0:
        return np.full((HEIGHT, WIDTH, 3), (96, 110, 120), np.uint8)
    if kind == 1:
        random = np.random.default_rng(number)
        noise = random.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        return np.asarray(image.filter(ImageFilter.GaussianBlur(2)))
    photograph = skimage.data.coffee() if kind == 2 else skimage.data.rocket()
    return np.asarray(Image.fromarray(photograph).resize((WIDTH, HEIGHT)))


if __name__ == "__main__":
    main()
