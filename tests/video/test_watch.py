"""Cameras: the newest frame, people followed, losses told, and nothing opened but the camera."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cameras import as_jpeg, http_camera, rtsp_camera, silent_camera, unused_port
from PIL import Image
from terminal import run_on_terminal
from typer.testing import CliRunner
from video_clips import SIZE, add_portrait, background, crossing, gray, grays, write_clip
from waiting import wait_until

from glamor_cli.cli.app import app
from glamor_cli.errors import ConfigError, DataError
from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.predictor import PredictConfig, open_predictor
from glamor_cli.predict.rows import VIDEO_COLUMNS
from glamor_cli.predict.watch import follow_frames, watch
from glamor_cli.rendering.live_picture import LivePicture
from glamor_cli.vision.camera import Camera
from glamor_cli.vision.frames import Frame
from glamor_cli.vision.images import read_image
from glamor_cli.vision.options import WatchConfig
from glamor_cli.vision.status import Status

CONFIG = PredictConfig(device="cpu", threads=1)
OPTIONS = ("--device", "cpu", "--threads", "1")


def run(*arguments: object):
    return CliRunner().invoke(app, ["watch", *map(str, arguments), *OPTIONS])


def portraits(*scales: float) -> list[bytes]:
    """One person, as large as each scale says; 0 is nobody."""
    images = []
    for scale in scales:
        image = background()
        if scale:
            add_portrait(image, scale, 100, 60)
        images.append(as_jpeg(image))
    return images


def level(frame: Frame) -> int:
    """The number of a frame that tells it by its brightness (``video_clips.gray``)."""
    return round((float(frame.image.mean()) - gray(0)) / (gray(1) - gray(0)))


def test_the_newest_frame_is_looked_at_and_those_before_it_are_passed_over():
    jpegs = [as_jpeg(image) for image in grays(30)]
    with http_camera(lambda: jpegs, rate=50) as (address, _):
        levels = []
        for frame in Camera(address).frames():
            levels.append((frame.index, level(frame)))
            time.sleep(0.1)
    numbers = [number for number, _ in levels]
    assert numbers == sorted(set(numbers))
    # Of fifty a second ten are looked at; a queue would have given one after the other.
    assert 3 <= len(numbers) < 20
    # FFmpeg hands a picture on when the next one's beginning has come.
    assert all(0 <= shown - number <= 1 for number, shown in levels), levels
    assert levels[-1][1] >= 28


def test_a_stream_over_rtsp_is_watched_as_any_other(tmp_path):
    first = next(crossing())
    clip = write_clip(tmp_path / "camera.ts", [first] * 50, rate=25)
    with rtsp_camera(clip) as address:
        answers = list(itertools.islice(watch(address, CONFIG), 3))
    assert [len(answer.faces) for answer in answers] == [2, 2, 2]
    assert answers[0].frame < answers[1].frame < answers[2].frame
    assert 0 <= answers[0].time < answers[1].time < answers[2].time


def test_people_are_followed_and_their_emotions_smoothed():
    with http_camera(lambda: portraits(*np.linspace(0.6, 0.9, 40))) as (address, _):
        answers = list(watch(address, CONFIG))
    assert {person.track for answer in answers for person in answer.people} == {1}
    assert len(answers) > 3
    assert any(
        not np.allclose(answer.people[0].probabilities, answer.faces[0].probabilities, atol=1e-5)
        for answer in answers
    )


def test_rows_have_the_columns_of_videos_and_the_end_is_told():
    with http_camera(lambda: portraits(*[0] * 5, *[0.8] * 5), rate=5) as (address, _):
        done = run(address, "--format", "jsonl")
    assert done.exit_code == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(tuple(row) == VIDEO_COLUMNS for row in rows)
    assert {row["source"] for row in rows} == {address}
    assert {row["status"] for row in rows} == {"ok", "no_face"}
    assert rows[-1]["frame"] < 10
    looks = f"looked at {len(rows)} of {rows[-1]['frame'] + 1} frames"
    assert re.fullmatch(rf"{looks} in \d s, and saw 1 person\n", done.stderr)


def test_it_ends_after_the_time_it_is_given_and_looks_once_an_interval():
    jpegs = portraits(0.8)
    with http_camera(lambda: itertools.cycle(jpegs)) as (address, _):
        began = time.monotonic()
        done = run(address, "--for", "2s", "--every", "0.5s", "--format", "jsonl")
    assert done.exit_code == 0, done.stderr
    assert time.monotonic() - began > 2
    times = [json.loads(line)["time"] for line in done.stdout.splitlines()]
    assert 2 <= len(times) <= 4
    # One in each interval, counted from the first frame.
    assert len({int(passed / 0.5) for passed in times}) == len(times)


def test_a_camera_that_is_lost_is_opened_again_and_people_get_new_numbers():
    with http_camera(lambda: portraits(0.8, 0.8, 0.8)) as (address, asked):
        losses: list[DataError] = []
        watching = WatchConfig(retry=0.1)
        answers: list[FramePrediction] = []
        for answer in watch(address, CONFIG, watching, losses.append):
            answers.append(answer)
            if len(asked) == 3:
                break
    tracks = [person.track for answer in answers for person in answer.people]
    assert tracks == sorted(tracks)
    assert {1, 2} <= set(tracks)
    assert len(losses) == 2
    times, frames = [a.time for a in answers], [a.frame for a in answers]
    assert times == sorted(set(times))
    assert frames == sorted(set(frames))


def test_trying_again_ends_with_the_time_that_was_given():
    address = f"http://127.0.0.1:{unused_port()}/video"
    done = run(address, "--retry", "0.1s", "--for", "1s")
    assert isinstance(done.exception, DataError)
    assert done.stderr.count("Connection refused; trying again") > 2


def test_a_camera_that_says_nothing_is_lost_after_the_patience_given():
    with silent_camera() as address:
        done = run(address, "--patience", "0.5s")
    assert isinstance(done.exception, DataError)
    assert f"cannot open {address}: nothing came for 0.5 s" in done.exception.what


def test_a_camera_that_goes_dead_is_lost():
    def dead():
        yield from portraits(0.8, 0.8)
        time.sleep(20)

    with http_camera(dead) as (address, _):
        answers = []
        with pytest.raises(DataError, match=r"lost .* after \d+ s: nothing came for 1 s"):
            answers.extend(watch(address, CONFIG, WatchConfig(patience=1.0)))


@pytest.mark.parametrize(
    "address",
    ["-1", "photo.jpg", "file:///etc/passwd", "concat:a|b", "rtsp://", "ftp://host/x", "", "\n"],
)
def test_what_is_no_camera_is_refused_before_anything_is_opened(address):
    with pytest.raises(ConfigError, match="is not the address of a camera"):
        Camera(address)


@pytest.mark.parametrize("place", ["live.m3u8", "live/index.M3U8?token=1", "manifest.mpd"])
def test_a_playlist_is_named_as_one(place):
    with pytest.raises(ConfigError, match="is a playlist") as raised:
        Camera(f"https://me:secret@cam/{place}")
    assert "secret" not in raised.value.what
    assert "RTSP" in raised.value.remedy


def test_passwords_are_not_shown():
    port = unused_port()
    secret = f"http://guest:p@ss:word@127.0.0.1:{port}/video?user=guest&pwd=pass#word"
    with pytest.raises(DataError) as raised:
        list(Camera(secret).frames())
    assert raised.value.what == f"cannot open http://127.0.0.1:{port}/video: Connection refused"
    with pytest.raises(ConfigError) as refused:
        Camera(secret.replace("http", "gopher"))
    assert "word" not in str(refused.value)
    assert "guest" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://me:sec/ret@cam/live", "rtsp://cam/live"),
        ("rtsp://me:sec?ret@cam/live", "rtsp://cam/live"),
        ("rtsp://cam:554/live@2", "rtsp://cam:554/live@2"),
        ("rtsp://[fe80::1]:554/live@2", "rtsp://[fe80::1]:554/live@2"),
        ("rtsp://[fe80::1]/x?user=me@home", "rtsp://[fe80::1]/x"),
        (
            "rtsp://cam:554/user=me_password=sec_ret_channel=1_stream=0.sdp?real_stream",
            "rtsp://cam:554/user=me_password=..._channel=1_stream=0.sdp",
        ),
        ("rtsp://cam/user=me&pwd=secret&channel=1.sdp", "rtsp://cam/user=me&pwd=...&channel=1.sdp"),
        ("rtsp://cam/live/passwd=secret", "rtsp://cam/live/passwd=..."),
    ],
)
def test_passwords_are_hidden_wherever_they_stand(address, name):
    assert Camera(address).name == name


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{secret}'\n",
        "v=0\nc=IN IP4 127.0.0.1\nm=video 4444 RTP/AVP 33\n",
    ],
)
def test_a_camera_cannot_lead_to_other_places(playlist, tmp_path):
    secret = write_clip(tmp_path / "secret.ts", grays(10), rate=25)
    body = playlist.format(secret=secret).encode()
    with http_camera(lambda: [body]) as (address, _), pytest.raises(DataError):
        list(Camera(address).frames())


def test_a_camera_that_ends_before_it_has_sent_a_picture_is_told():
    broken = b"\xff\xd8\xff\xe0" + bytes(500)
    with http_camera(lambda: [broken] * 3) as (address, _):
        done = run(address)
    assert isinstance(done.exception, DataError)
    assert f"cannot open {address}: " in done.exception.what


def test_rows_of_a_camera_that_is_lost_are_a_whole_list():
    def dead():
        yield from portraits(0.8, 0.8)
        time.sleep(20)

    with http_camera(dead) as (address, _):
        done = run(address, "--patience", "1s", "--format", "json")
    assert isinstance(done.exception, DataError)
    assert {row["status"] for row in json.loads(done.stdout)} == {"ok"}


def test_a_camera_with_colours_that_are_not_read_says_so(tmp_path):
    stream = write_clip(tmp_path / "strange.ts", grays(25), rate=25, space=8)
    with rtsp_camera(stream) as address, pytest.raises(DataError, match="YCgCo"):
        list(Camera(address).frames())


def test_a_camera_whose_pictures_never_convert_is_lost(monkeypatch):
    def cannot(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("glamor_cli.vision.frame_pixels.FramePixels.rgb", cannot)
    jpeg = portraits(0.8)[0]
    with (
        http_camera(lambda: itertools.repeat(jpeg), rate=20) as (address, _),
        pytest.raises(DataError, match="its pictures cannot be converted"),
    ):
        list(Camera(address, patience=0.5).frames())


def test_damaged_pictures_are_passed_over():
    good = portraits(0.8)[0]
    torn = good[:200] + bytes(len(good) - 200)
    with http_camera(lambda: [good, torn, b"\xff\xd8", good, good, good], rate=10) as (address, _):
        frames = list(Camera(address).frames())
    assert frames
    assert all(frame.image.shape == (SIZE[1], SIZE[0], 3) for frame in frames)


def test_the_newest_picture_lies_in_the_file(tmp_path):
    picture = tmp_path / "door.jpg"
    jpegs = portraits(0.8)
    with http_camera(lambda: itertools.cycle(jpegs)) as (address, _):
        done = run(address, "--for", "1.5s", "--picture", picture)
    assert done.exit_code == 0, done.stderr
    with Image.open(picture) as drawn:
        assert drawn.size == (640, 426)
        # Happy's box around the face, which nothing else in the picture is as yellow as.
        red, green, blue = (np.asarray(drawn)[..., channel].astype(int) for channel in range(3))
    assert ((red > 200) & (green > 180) & (blue < 120)).sum() > 500
    assert [entry.name for entry in tmp_path.iterdir()] == ["door.jpg"]


def test_every_frame_of_one_a_second_is_drawn_and_of_more_the_first(tmp_path):
    """Of one a second, none comes quite a second after the one before."""
    picture = LivePicture(tmp_path / "door.jpg")
    times, shown = (0.0, 1.07, 2.0, 3.0, 3.06, 3.9, 4.06), []
    for number, (when, image) in enumerate(zip(times, grays(len(times)), strict=True)):
        picture.update(FramePrediction("camera", EMOTIONS, image=image, frame=number, time=when))
        shown.append(level(Frame(number, when, read_image(tmp_path / "door.jpg"))))
    assert shown == [0, 1, 2, 3, 3, 3, 6]


def test_a_picture_of_another_kind_is_refused_before_the_camera_is_opened(tmp_path):
    done = run("http://127.0.0.1:1/video", "--picture", tmp_path / "door.txt")
    assert isinstance(done.exception, ConfigError)
    assert "door.txt is not the name of a JPEG file" in done.exception.what


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_it_and_the_rows_so_far_were_passed_on(stop, tmp_path):
    jpegs = portraits(0.8)
    rows = tmp_path / "rows.jsonl"
    with http_camera(lambda: itertools.cycle(jpegs)) as (address, _), rows.open("wb") as file:
        command = [sys.executable, "-m", "glamor_cli", "watch", address, *OPTIONS]
        with subprocess.Popen(
            [*command, "--format", "jsonl"], stdout=file, stderr=subprocess.PIPE, text=True
        ) as process:
            wait_until(lambda: rows.read_bytes().count(b"\n") >= 3, process)
            process.send_signal(stop)
            assert process.stderr is not None
            message = process.stderr.read()
            assert process.wait(60) == 130, message
    assert "Traceback" not in message
    assert "looked at" in message
    for line in rows.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["status"] == "ok"


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_ctrl_c_ends_it_at_once_while_a_camera_is_waited_for():
    with silent_camera() as address:
        command = [sys.executable, "-m", "glamor_cli", "watch", address, *OPTIONS]
        with subprocess.Popen(
            [*command, "--patience", "60s", "--verbose"], stderr=subprocess.PIPE, text=True
        ) as process:
            time.sleep(3)
            assert process.poll() is None
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            assert time.monotonic() - began < 20
            assert process.stderr is not None
            assert process.stderr.read() == "interrupted: no row was written yet\n"


_NEVER_PAST_PYTHONS_END = """
import ctypes, sys
from glamor_cli.__main__ import main
ctypes.CDLL(None).on_exit(ctypes.CDLL(None).pause, None)
sys.argv[0] = "glamor"
main()
"""
_LEFT_WHILE_IT_OPENS = """
import atexit, sys, threading, time
from glamor_cli.errors import DataError
from glamor_cli.vision.camera import Camera
atexit.register(lambda: print(threading.active_count()))
try:
    next(Camera(sys.argv[1], patience=2).frames(until=time.monotonic() + 1))
except DataError:
    print(threading.active_count())
"""


_LEFT_UNCLOSED = """
import sys
from glamor_cli.predict.predictor import PredictConfig
from glamor_cli.predict.watch import watch

def main():
    stream = watch(sys.argv[1], PredictConfig(device="cpu", threads=1))
    print(next(stream).time)
    if sys.argv[2] == "raise":
        raise RuntimeError("the program's own")
    globals()["kept"] = stream

main()
"""


@pytest.mark.parametrize(("how", "code"), [("raise", 1), ("keep", 0)])
def test_a_program_that_leaves_a_camera_unclosed_ends(how, code):
    jpegs = portraits(0.8)
    with http_camera(lambda: itertools.cycle(jpegs)) as (address, _):
        done = run_program(_LEFT_UNCLOSED, address, how)
    assert done.returncode == code, done.stderr
    assert ("the program's own" in done.stderr) == bool(code)


def run_program(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="delays a process's end by glibc")
def test_what_waits_for_a_camera_does_not_meet_the_end_of_python():
    with silent_camera() as address:
        words = ["watch", address, *OPTIONS, "--patience", "60s", "--for", "1s"]
        done = run_program(_NEVER_PAST_PYTHONS_END, *words)
        assert done.returncode == 4
        assert "no picture came" in done.stderr
        done = run_program(_LEFT_WHILE_IT_OPENS, address)
        assert (done.returncode, done.stdout) == (0, "2\n1\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize("columns", [36, 80])
def test_a_terminal_shows_who_is_there_now(columns):
    with http_camera(lambda: portraits(*[0] * 5, *[0.8] * 5), rate=5) as (address, _):
        code, output, shown = run_on_terminal("watch", address, *OPTIONS, columns=columns)
    assert (code, output) == (0, b"")
    assert "nobody is seen" in shown
    people = re.findall(r"1 Happy\b[^\r\n]*", shown)
    assert people
    # Where there is little room columns are left out, and no figure is cut.
    for line in people:
        assert re.fullmatch(r"1 Happy +█* +\d+%( \w+ \d+%)?( +\d+%:\d+%)? *", line), line
    assert "looked at " in shown[shown.rindex("1 Happy") :]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_that_cannot_be_drawn_on_gets_rows():
    with http_camera(lambda: portraits(*[0.8] * 3), rate=5) as (address, _):
        code, _, shown = run_on_terminal("watch", address, *OPTIONS, columns=80, kind="dumb")
    assert code == 0
    assert "Happy" in shown


def test_another_programs_camera_is_followed_frame_by_frame():
    def frames():
        filled = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
        for index, image in enumerate(itertools.islice(crossing(), 4)):
            filled[:] = np.asarray(image)
            yield Frame(index, index / 10, filled)

    predictor = open_predictor(CONFIG)
    answers = list(follow_frames("camera", frames(), predictor))
    assert [answer.frame for answer in answers] == [0, 1, 2, 3]
    assert [{person.track for person in answer.people} for answer in answers] == [{1, 2}] * 4
    boxes = [sorted(face.box for face in answer.faces) for answer in answers]
    # One walks to the right, the other to the left: no frame was answered with another's pixels.
    assert boxes[0][0][0] < boxes[3][0][0]
    assert boxes[0][1][0] > boxes[3][1][0]
    assert answers[2].rows()[0].time == 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        np.zeros((18, 32), np.uint8),
        np.zeros((18, 32, 3)),
        np.zeros((18, 32, 4), np.uint8),
        np.zeros((0, 32, 3), np.uint8),
    ],
    ids=["none", "gray", "float", "rgba", "empty"],
)
def test_a_frame_that_is_no_image_is_an_error_among_rows(wrong):
    right = np.zeros((48, 64, 3), np.uint8)
    frames = [Frame(index, index / 10, image) for index, image in enumerate([right, wrong] * 2)]
    answers = follow_frames("camera", iter(frames), open_predictor(CONFIG))
    statuses = [answer.rows()[0].status for answer in answers]
    assert statuses == [Status.NO_FACE, Status.ERROR] * 2


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="needs a camera, /dev/video0")
def test_a_camera_of_this_machine_is_read():
    frame = next(Camera("/dev/video0").frames())
    assert frame.image.ndim == 3


def test_a_device_that_is_not_there_is_told():
    if sys.platform != "linux":
        with pytest.raises(ConfigError):
            Camera("/dev/video99")
        return
    for name in ("/dev/video99", "99"):
        done = run(name)
        assert isinstance(done.exception, DataError)
        assert "cannot open /dev/video99: No such file or directory" in done.exception.what
