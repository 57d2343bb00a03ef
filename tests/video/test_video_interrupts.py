"""Videos whose run is stopped, killed or out of room: what there is stays whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import frames_of, grays, write_clip
from waiting import wait_until

from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.predict.video import VideoConfig, predict_sources
from glamor_cli.rendering.videos import VideoFolder
from glamor_cli.vision.options import Sampling

GLAMOR = [*(sys.executable, "-m", "glamor_cli", "predict"), *("--device", "cpu", "--threads", "1")]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory) -> Path:
    """Long enough to be stopped in the middle of."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_clip(path, (pixels for _ in range(60) for pixels in grays(30)), codec="mpeg4")


def frames_as_images(clips: Path):
    with av.open(str(clips / "crossing.mp4")) as container:
        for frame in container.decode(video=0):
            yield frame.to_image()


def start(clip: Path, *arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*GLAMOR, str(clip), "--format", "jsonl", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_rows_video_and_timeline_so_far(clips, tmp_path):
    clip = write_clip(
        tmp_path / "long.mp4",
        (np.asarray(image) for _ in range(15) for image in frames_as_images(clips)),
        codec="mpeg4",
    )
    pictures = tmp_path / "pictures"
    with start(clip, "--save", pictures) as process:
        assert process.stdout is not None
        # Rows come long before the video's end.
        first = "".join(process.stdout.readline() for _ in range(40))
        process.send_signal(signal.SIGINT)
        # Not communicate(): it passes over what has been read ahead.
        assert process.stderr is not None
        rest, message = process.stdout.read(), process.stderr.read()
        process.wait(240)
    assert process.returncode == 130, message
    assert "Traceback" not in message
    rows = [json.loads(line) for line in (first + rest).splitlines()]
    assert 15 < rows[-1]["frame"] < 250
    assert sorted(path.name for path in pictures.iterdir()) == [
        "long-emotions.mp4",
        "long-timeline.png",
    ]
    frames = frames_of(pictures / "long-emotions.mp4")
    assert len(frames) == pytest.approx(rows[-1]["frame"] + 1, abs=1)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_while_a_video_gets_its_name_leaves_its_timeline_too(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    config = PredictConfig(device="cpu", threads=1, keep_images=True)
    stills = VideoConfig(Sampling(stride=10))
    with pytest.raises(KeyboardInterrupt), VideoFolder(tmp_path) as folder:
        for answer in predict_sources([clips / "crossing.mp4"] * 2, config, stills):
            folder.save(answer)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert saved == ["crossing-emotions.mp4", "crossing-timeline.png"]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGKILL")
def test_a_killed_run_leaves_nothing_under_a_final_name(long_clip, tmp_path):
    with start(long_clip, "--save", tmp_path) as process:
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        # The annotated video has begun by now, under another name.
        wait_until(lambda: any(tmp_path.iterdir()), process)
        process.kill()
        process.communicate()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".")
    assert ".partial" in left.name


def test_a_reader_that_has_enough_ends_the_run_quietly(long_clip, tmp_path):
    with start(long_clip, "--save", tmp_path / "pictures") as process:
        assert process.stdout is not None and process.stderr is not None
        json.loads(process.stdout.readline())
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(240) == 141
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_a_full_disk_is_one_error(clips, tmp_path):
    resource = pytest.importorskip("resource")
    with start(
        clips / "coming-back.mp4",
        "--save",
        tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)),
        # Python keeps modules that it compiled even if they were cut short; others would load them.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        _, message = process.communicate(timeout=240)
    assert process.returncode == 3, message
    assert "cannot write" in message.splitlines()[-2]
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
