"""The Python that README.md and docs/for-programs.md show does what they say."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from glamor_cli.vision.status import Status

ROOT = Path(__file__).resolve().parents[2]


def run_code_of(document: Path) -> dict:
    """Run the blocks of a document one after another, and give what they leave."""
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(document), "exec"), names)
    return names


def test_the_readmes_code_prints_each_face(tmp_path, monkeypatch, capsys):
    Image.fromarray(skimage.data.astronaut()).save(tmp_path / "photo.jpg", quality=95)
    monkeypatch.chdir(tmp_path)
    run_code_of(ROOT / "README.md")
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"1 \w+ 0\.\d+ Box\(x1=\d+, y1=\d+, x2=\d+, y2=\d+\)$", line)


class Camera:
    """Fills one array with each frame in BGR, as ``cv2.VideoCapture.read`` may, and ends."""

    def __init__(self, frames) -> None:
        self._frames = iter(frames)
        self._pixels = np.empty_like(skimage.data.astronaut())

    def read(self):
        frame = next(self._frames, None)
        if frame is None:
            return False, None
        self._pixels[:] = frame[..., ::-1]
        return True, self._pixels


def test_uploads_and_cameras_are_answered_as_documented(tmp_path, capsys):
    code = run_code_of(ROOT / "docs" / "for-programs.md")
    portrait = skimage.data.astronaut()
    # Lying on its side, and upright by its EXIF.
    exif = Image.Exif()
    exif[0x0112] = 6
    upload = io.BytesIO()
    Image.fromarray(np.rot90(portrait).copy()).save(upload, "png", exif=exif)
    good, bad = upload.getvalue(), b"no image"
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(code["answer_upload"], ["good", "bad"] * 4, [good, bad] * 4))
    for (fine,), (wrong,) in zip(answers[::2], answers[1::2], strict=True):
        assert (fine.source, fine.status, fine.face) == ("good", Status.OK, 1)
        assert fine == answers[0][0]
        assert (wrong.source, wrong.status) == ("bad", Status.ERROR)
        assert "not an image" in wrong.reason

    code["watch_camera"](Camera([portrait, np.zeros_like(portrait)] * 3))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "no_face"] * 3
    # The colours are those of the file.
    assert lines[0] == f"ok 1 {fine.emotion} {fine.probability} {fine.box}"
