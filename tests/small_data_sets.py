"""Small data sets written to disk, and folders compared byte by byte."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, seed: int = 0, height: int = 40, width: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_authors_data_set(root: Path, per_class: dict[str, int]) -> Path:
    """So many images of three classes in each split; names with several dots, each with its box."""
    seed = 0
    for split, count in per_class.items():
        for label in ("Anger", "Happy", "Surprise"):
            for number in range(count):
                seed += 1
                write_image(root / "images" / split / label / f"clip_{number}.00{seed}.png", seed)
                box_file = root / "crop" / split / label / f"clip_{number}.txt"
                box_file.parent.mkdir(parents=True, exist_ok=True)
                box_file.write_text(f"{seed % 7},5,{30 + seed % 9},33\n")
    return root


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
