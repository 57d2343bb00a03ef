"""Fit the rule that brings CenterFace's boxes to the framing of dlib's (see CenterFaceConfig).

Run on a folder of photographs of people; dlib takes seconds for each:

    uv run --extra dlib python benchmarks/framing.py FOLDER --count 120
"""

import argparse
import json
import random
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glamor_cli.vision.centerface import CenterFace, CenterFaceConfig
from glamor_cli.vision.dlib_faces import DlibFaces
from glamor_cli.vision.image_files import list_images
from glamor_cli.vision.images import read_image

LONGEST_SIDE = 700
"""Larger photographs are left out: dlib would take minutes and gigabytes for them."""
SIDES = np.arange(0.70, 1.20, 0.01)
DROPS = np.arange(-0.10, 0.16, 0.01)


def main() -> None:
    """Measure, fit, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=120, help="photographs to draw at random")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paths = list(list_images(options.folder))
    random.Random(options.seed).shuffle(paths)
    plain, target, missed = match(paths[: options.count])
    overlaps = {
        (side, drop): mean_overlap(frame(plain, side, drop), target)
        for side in SIDES
        for drop in DROPS
    }
    best = max(overlaps, key=overlaps.__getitem__)
    default = CenterFaceConfig()
    result = {
        "photographs": min(options.count, len(paths)),
        "faces": len(plain),
        "missed_by_centerface": missed,
        "mean_iou_unframed": mean_overlap(plain, target),
        "mean_iou_default": mean_overlap(
            frame(plain, default.framing_side, default.framing_drop), target
        ),
        "mean_iou_best": overlaps[best],
        "best_side": best[0],
        "best_drop": best[1],
        "different_sizes_of_dlib": len(np.unique(target[:, 2] - target[:, 0])),
    }
    print(json.dumps({key: round(float(value), 4) for key, value in result.items()}, indent=2))


def match(paths: list[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Pair the two detectors' boxes of the same faces.

    Returns:
        CenterFace's as unframed squares of side sqrt(w * h) [n, 4], dlib's [n, 4], and how many of
        dlib's faces CenterFace does not find.
    """
    centerface = CenterFace(CenterFaceConfig(framing_side=1.0, framing_drop=0.0), threads=1)
    dlib = DlibFaces()
    plain, target, missed = [], [], 0
    for number, path in enumerate(paths, start=1):
        print(f"\r{number}/{len(paths)}", end="", file=sys.stderr, flush=True)
        image = read_image(path)
        if max(image.shape) > LONGEST_SIDE:
            continue
        found = centerface.detect(image).at_least(centerface.min_score_predict).boxes
        for box in dlib.detect(image).at_least(dlib.min_score_predict).boxes:
            centre = (box[:2] + box[2:]) / 2
            inside = ((found[:, :2] < centre) & (centre < found[:, 2:])).all(axis=1)
            if inside.sum() == 1:
                plain.append(found[inside][0])
                target.append(box)
            elif not inside.any():
                missed += 1
    print(file=sys.stderr)
    return np.array(plain), np.array(target), missed


def frame(squares: NDArray[np.float32], side: float, drop: float) -> NDArray[np.float32]:
    """Resize squares [n, 4] around their centres, and lower them, by shares of their sides."""
    length = squares[:, 2:] - squares[:, :2]
    centre = (squares[:, :2] + squares[:, 2:]) / 2 + length * np.array([0, drop], np.float32)
    return np.concatenate([centre - side / 2 * length, centre + side / 2 * length], axis=1)


def mean_overlap(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """Mean intersection over union of paired boxes, [n, 4] each."""
    corners = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    shared = np.maximum(corners, 0).prod(axis=1)
    areas = [(each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others)]
    return float((shared / (areas[0] + areas[1] - shared)).mean())


if __name__ == "__main__":
    main()
