"""Prove that ``glamor predict`` takes constant memory: a small folder or video against a large one.

    uv run python benchmarks/memory.py

Writes ``benchmarks/results/memory-<hardware>.json``: the largest resident memory of the command on
2,000 and on 10,000 small photographs, a face in each, and on videos of 500 and of 5,000 small
frames, with an annotated video made of each.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import skimage.data
from PIL import Image
from recording import RESULTS, record

POLL_SECONDS = 0.1


def main() -> None:
    """Predict folders and videos of several sizes, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--frames", type=int, nargs="+", default=[500, 5_000])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    folders, videos = [], []
    for count in options.counts:
        with tempfile.TemporaryDirectory() as folder:
            make_folder(Path(folder) / "images", count)
            measured = measure(Path(folder), "images")
        folders.append({"images": count, **measured})
    for count in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            make_video(Path(folder) / "clip.mp4", count)
            measured = measure(Path(folder), "clip.mp4", "--save", f"{folder}/saved")
        videos.append({"frames": count, **measured})
    record("memory", {"folders": folders, "videos": videos}, options.out)


def make_folder(folder: Path, count: int) -> None:
    """Write as many small JPEGs of one face; the same bytes, for memory does not mind."""
    folder.mkdir()
    buffer = io.BytesIO()
    draw_face(16).save(buffer, "JPEG", quality=90)
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(buffer.getvalue())


def make_video(path: Path, count: int) -> None:
    """Write a video in which one face moves to and fro."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuv420p"
        for number in range(count):
            image = draw_face(abs(number % 64 - 32))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image))))
        container.mux(stream.encode(None))


def draw_face(left: int) -> Image.Image:
    """Put scikit-image's astronaut into a small picture, so many pixels from the left."""
    image = Image.new("RGB", (96, 72), (90, 110, 120))
    image.paste(
        Image.fromarray(skimage.data.astronaut()[40:200, 150:310]).resize((64, 64)), (left, 4)
    )
    return image


def measure(folder: Path, name: str, *options: str) -> dict[str, float | int]:
    """Run the command and watch its memory; the system's own maximum would count this process."""
    rows = folder / "rows.jsonl"
    command = [sys.executable, "-m", "glamor_cli", "predict", folder / name, "--output", rows]
    command += options
    began = time.monotonic()
    largest = 0
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            largest = max(largest, _resident_kb(process.pid))
            time.sleep(POLL_SECONDS)
    if process.returncode:
        raise SystemExit(f"glamor predict ended with {process.returncode}")
    return {
        "rows": len(rows.read_text(encoding="utf-8").splitlines()),
        "largest_resident_mb": round(largest / 1024, 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def _resident_kb(pid: int) -> int:
    """The high-water mark of a process's resident memory, as Linux counts it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0]) if marks else 0


if __name__ == "__main__":
    main()
