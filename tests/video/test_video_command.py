"""Videos through the command as people and scripts use it: rows and pictures."""

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import skimage.data
from PIL import Image
from typer.testing import CliRunner
from video_clips import frames_of, two_shots, write_clip

from glamor_cli.__main__ import main
from glamor_cli.cli.app import app
from glamor_cli.cli.durations import parse_seconds
from glamor_cli.errors import ConfigError
from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.following import FramePrediction
from glamor_cli.predict.rows import COLUMNS, VIDEO_COLUMNS
from glamor_cli.predict.saved_names import MARK
from glamor_cli.rendering.video_writer import write_video
from glamor_cli.rendering.videos import VideoFolder
from glamor_cli.system.extras import install_extra

OPTIONS = ["--device", "cpu", "--threads", "1"]


def run(*arguments: object):
    return CliRunner().invoke(app, ["predict", *OPTIONS, *map(str, arguments)])


def rows_of(*arguments: object, code: int = 0) -> list[dict]:
    result = run(*arguments, "--format", "jsonl")
    assert result.exit_code == code, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_each_person_has_one_line_over_time(clips):
    rows = rows_of(clips / "crossing.mp4")
    assert {row["track"] for row in rows} == {1, 2}
    for row in rows:
        assert list(row) == list(VIDEO_COLUMNS)
        assert row["time"] == pytest.approx(row["frame"] / 10, abs=1e-3)
        smoothed = row["smoothed_probabilities"]
        assert sum(smoothed.values()) == pytest.approx(1, abs=1e-4)
        assert row["smoothed_emotion"] == max(smoothed, key=smoothed.__getitem__)
        assert row["smoothed_probability"] == smoothed[row["smoothed_emotion"]]
    assert [row["frame"] for row in rows] == sorted(row["frame"] for row in rows)
    ways = []
    for track in (1, 2):
        line = [row for row in rows if row["track"] == track]
        assert len({row["frame"] for row in line}) == len(line) >= 14
        ways.append(line[-1]["box"][0] - line[0]["box"][0])
    # One went all the way to the right, the other to the left.
    assert min(ways) < -200
    assert max(ways) > 200


@pytest.mark.parametrize("sampling", [(), ("--every", "0.6s")])
def test_a_cut_to_somebody_else_at_the_same_place_is_not_the_same_person(tmp_path, sampling):
    clip = write_clip(tmp_path / "shots.mp4", two_shots())
    rows = rows_of(clip, *sampling)
    assert {row["status"] for row in rows} == {"ok"}
    assert [row["track"] for row in rows] == [1 if row["frame"] < 6 else 2 for row in rows]
    (first,) = (row for row in rows if row["frame"] == 6)
    assert first["smoothed_probabilities"] == pytest.approx(first["probabilities"], abs=2e-6)


def test_emotions_are_smoothed_unless_the_time_is_0(clips):
    clip, stride = clips / "crossing.mp4", ("--stride", "4")
    smoothed = rows_of(clip, *stride)
    assert any(row["smoothed_probabilities"] != row["probabilities"] for row in smoothed)
    for row in rows_of(clip, *stride, "--smooth", "0"):
        expected = pytest.approx(row["probabilities"], abs=2e-6)
        assert row["smoothed_probabilities"] == expected
        assert row["smoothed_emotion"] == row["emotion"]


def test_who_comes_back_late_gets_a_new_number(clips):
    rows = rows_of(clips / "coming-back.mp4", "--stride", "2")
    assert {row["frame"] % 2 for row in rows} == {0}
    lines = {track: [r["time"] for r in rows if r["track"] == track] for track in (1, 2, 3)}
    lengths = sorted(len(times) for times in lines.values())
    assert lengths == [5, 6, 20]


def test_videos_and_images_in_one_call(clips, tmp_path):
    photograph = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(photograph)
    shutil.copy(clips / "gray.webm", tmp_path / "empty [1].webm")
    sources = (
        clips / "crossing.mp4",
        photograph,
        tmp_path / "empty [1].webm",
        clips / "com*.mp4",
    )
    rows = rows_of(*sources, "--every", "500ms")
    named = list(dict.fromkeys(row["source"] for row in rows))
    assert named == [str(source) for source in sources[:3]] + [str(clips / "coming-back.mp4")]
    by_source = {name: [row for row in rows if row["source"] == name] for name in named}
    (image,) = by_source[str(photograph)]
    assert list(image) == list(VIDEO_COLUMNS)
    assert image["status"] == "ok"
    assert image["frame"] is image["time"] is image["track"] is image["smoothed_emotion"] is None
    empty = by_source[str(sources[2])]
    assert [(row["status"], row["frame"], row["time"]) for row in empty] == [
        ("no_face", 0, 0.0),
        ("no_face", 13, 0.52),
        ("no_face", 25, 1.0),
    ]
    # Each video's people are counted anew.
    assert by_source[named[3]][0]["track"] == 1
    result = run(*sources, "--every", "500ms", "--format", "csv")
    table = list(csv.DictReader(io.StringIO(result.stdout, newline="")))
    assert [row["track"] for row in table] == [str(row["track"] or "") for row in rows]
    assert [row["time"] for row in table] == [
        "" if row["time"] is None else str(row["time"]) for row in rows
    ]


@pytest.fixture
def mixed(clips, tmp_path) -> Path:
    """A folder as a camera leaves it: photographs and clips, in it and below."""
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    Image.fromarray(skimage.data.astronaut()).save(folder / "astronaut.png")
    shutil.copy(clips / "crossing.mp4", folder / "below" / "CLIP.MP4")
    shutil.copy(clips / "gray.mp4", folder / "gray.mp4")
    shutil.copy(clips / "gray.mp4", folder / "._gray.mp4")
    (folder / "program.ts").write_text("export const frames = 0;")
    return folder


@pytest.mark.parametrize("pattern", ["", "**/*"])
def test_clips_in_folders_and_globs_are_taken_like_named_ones(mixed, pattern):
    names = ("astronaut.png", "below/CLIP.MP4", "gray.mp4")
    rows = rows_of(mixed / pattern, "--every", "500ms")
    assert list(dict.fromkeys(row["source"] for row in rows)) == [str(mixed / n) for n in names]
    assert rows == rows_of(*(mixed / name for name in names), "--every", "500ms")


@pytest.mark.parametrize("pattern", ["", "*"])
def test_recordings_of_televisions_and_camcorders_in_folders_are_not_typescript(
    clips, tmp_path, pattern
):
    """A camcorder's packets have its clock before them; a recording may begin within one."""
    content = (clips / "gray.ts").read_bytes()
    (tmp_path / "00001.MTS").write_bytes(
        b"".join(bytes(4) + content[at : at + 188] for at in range(0, len(content), 188))
    )
    (tmp_path / "recording.ts").write_bytes(content[100:])
    (tmp_path / "program.ts").write_text("export const GREETING = 'GG';\n" * 40)
    (tmp_path / "program.mts").write_text("")
    rows = rows_of(tmp_path / pattern, "--every", "500ms")
    assert list(dict.fromkeys(row["source"] for row in rows)) == [
        str(tmp_path / name) for name in ("00001.MTS", "recording.ts")
    ]
    assert {row["status"] for row in rows} == {"no_face"}


def test_a_folder_without_clips_keeps_the_columns_of_images(mixed):
    (mixed / "below" / "CLIP.MP4").unlink()
    (mixed / "gray.mp4").unlink()
    (row,) = rows_of(mixed)
    assert list(row) == list(COLUMNS)


def test_what_was_saved_into_the_folder_is_not_taken_again(mixed):
    options = (mixed, "--every", "500ms", "--save", mixed / "saved")
    first = rows_of(*options)
    assert (mixed / "saved" / "CLIP-emotions.mp4").exists()
    assert rows_of(*options) == first


def test_what_was_saved_anywhere_is_known_by_its_mark_unless_it_is_named(mixed, tmp_path):
    saved = mixed / "saved"
    first = rows_of(mixed, "--every", "500ms", "--save", saved)
    names = {entry.name for entry in saved.iterdir()}
    assert {"CLIP-emotions.mp4", "CLIP-timeline.png", "astronaut-emotions.jpg"} <= names
    for options in ((), ("--save", tmp_path / "elsewhere")):
        result = run(mixed, "--every", "500ms", "--format", "jsonl", *options)
        assert [json.loads(line) for line in result.stdout.splitlines()] == first
        assert f"skipped {len(names)} pictures" in result.stderr
        assert result.stderr.count("skipped") == 1
    shutil.rmtree(mixed / "below")
    (mixed / "gray.mp4").unlink()
    assert list(rows_of(mixed)[0]) == list(COLUMNS)
    for name in ("CLIP-emotions.mp4", "astronaut-emotions.jpg"):
        assert rows_of(saved / name, "--every", "500ms")[0]["status"] != "error"


def test_a_folder_may_be_named_like_a_video(clips, tmp_path):
    folder = tmp_path / "take-1.mp4"
    folder.mkdir()
    Image.fromarray(skimage.data.astronaut()).save(folder / "still.png")
    (row,) = rows_of(folder)
    assert (row["status"], "frame" in row) == ("ok", False)
    shutil.copy(clips / "crossing.mp4", folder)
    assert {row["source"] for row in rows_of(folder)} == {
        str(folder / "still.png"),
        str(folder / "crossing.mp4"),
    }


def test_a_pattern_without_videos_is_one_error(tmp_path):
    (row,) = rows_of(tmp_path / "*.mp4", code=1)
    assert row["status"] == "error"
    assert "holds no videos" in row["reason"]


def test_of_a_broken_video_the_rest_is_told_and_the_run_goes_on(clips, tmp_path):
    with (
        av.open(str(clips / "crossing.mp4")) as container,
        av.open(str(tmp_path / "whole.mkv"), "w") as out,
    ):
        stream = out.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "broken.mkv").write_bytes(content[: len(content) * 3 // 4])
    (tmp_path / "text.mp4").write_text("no video")
    sources = [tmp_path / "broken.mkv", tmp_path / "text.mp4", "gone.mp4", clips / "gray.mp4"]
    pictures = tmp_path / "pictures"
    rows = rows_of(*sources, "--every", "0.2", "--save", pictures, code=1)
    by_source = {str(source): [r for r in rows if r["source"] == str(source)] for source in sources}
    broken = by_source[str(sources[0])]
    assert [row["status"] for row in broken[:6]] == ["ok"] * 6
    assert broken[-1]["status"] == "error"
    assert "broken.mkv is damaged: it ends after" in broken[-1]["reason"]
    for source, reason in ((sources[1], "not a video"), (sources[2], "no file")):
        (row,) = by_source[str(source)]
        assert (row["status"], row["frame"]) == ("error", None)
        assert reason in row["reason"]
    assert {row["status"] for row in by_source[str(sources[3])]} == {"no_face"}
    # What there was of the broken one is saved; without people there is no timeline.
    assert sorted(path.name for path in pictures.iterdir()) == [
        "broken-emotions.mp4",
        "broken-timeline.png",
        "gray-emotions.mp4",
    ]


def test_annotated_videos_and_timelines(clips, tmp_path):
    clip = shutil.copy(clips / "coming-back.mp4", tmp_path / "a [b].mp4")
    photograph = tmp_path / "astronaut.png"
    Image.fromarray(skimage.data.astronaut()).save(photograph)
    rows = rows_of(clip, clip, photograph, "--every", "0.3s", "--save", tmp_path)
    names = {path.name for path in tmp_path.iterdir()} - {"a [b].mp4", "astronaut.png"}
    assert names == {
        "a [b]-emotions.mp4",
        "a [b]-timeline.png",
        "a [b]-2-emotions.mp4",
        "a [b]-2-timeline.png",
        "astronaut-emotions.jpg",
    }
    frames = frames_of(tmp_path / "a [b]-emotions.mp4")
    times = sorted({row["time"] for row in rows if row["time"] is not None})
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-3)
    # Small videos are enlarged so that the labels can be read.
    assert (frames[0].width, frames[0].height) == (640, 426)
    (first,) = (row for row in rows[:2] if row["track"] == 1)
    x1, y1, x2, _ = (round(edge * 640 / 480) for edge in first["box"])
    line = frames[0].to_ndarray(format="rgb24")[y1 - 4 : y1, x1 + 2 : x2 - 2].astype(int)
    # The box's upper line in the colour of Happy, over a grey-green background.
    assert np.abs(line - (0xF0, 0xE4, 0x42)).max(axis=2).min(axis=0).mean() < 60
    # A second run does not take the first one's results for sources.
    again = rows_of(tmp_path / "*.mp4", tmp_path / "*.png", "--every", "2s", "--save", tmp_path)
    assert {Path(row["source"]).name for row in again} == {"a [b].mp4", "astronaut.png"}


def test_a_timeline_that_shows_nobody_is_not_drawn_and_not_counted(tmp_path):
    """An earlier run found somebody: its timeline stays, and is not said to be replaced."""
    older = tmp_path / "clip-timeline.png"
    older.write_text(MARK)
    image = np.zeros((64, 96, 3), np.uint8)
    for replaced in (0, 1):
        with VideoFolder(tmp_path) as pictures:
            for frame in range(2):
                pictures.save(
                    FramePrediction("clip.mp4", EMOTIONS, image=image, frame=frame, time=frame / 25)
                )
        assert (pictures.saved, pictures.replaced) == (1, replaced)
    assert older.read_text() == MARK
    assert {path.name for path in tmp_path.iterdir()} == {older.name, "clip-emotions.mp4"}


def test_the_table_names_the_time_and_the_person(clips):
    result = run(clips / "crossing.mp4", "--every", "1s")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "crossing.mp4 1.00s" in result.stderr
    assert "3 faces" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "soon"], "--every"),
        (["--every", "0"], "--every"),
        (["--every", "-1s"], "--every"),
        (["--every", "1s", "--stride", "2"], "not both"),
        (["--smooth", "1 fortnight"], "--smooth"),
    ],
)
def test_wrong_options_say_what_to_do(clips, monkeypatch, capfd, arguments, said):
    source = str(clips / "gray.mp4")
    monkeypatch.setattr(sys, "argv", ["glamor", "predict", source, *OPTIONS, *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    what, remedy = capfd.readouterr().err.strip().splitlines()[-2:]
    assert what.startswith("error:")
    assert said in remedy


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.5s", 0.5), ("500ms", 0.5), ("2", 2), (" 1.5 min ", 90), (".25 s", 0.25), ("3.s", 3)],
)
def test_times(text, seconds):
    assert parse_seconds(text, "--every") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "1h2", "1,5s", "1e3s", "nan", "٣s", "-1s"])
def test_no_times(text):
    with pytest.raises(ConfigError, match="--every"):
        parse_seconds(text, "--every")


def test_without_pyav_one_line_says_what_to_install(clips, tmp_path):
    program = "import sys; sys.modules['av'] = None\nfrom glamor_cli.__main__ import main\nmain()"
    arguments = ["predict", str(clips / "gray.mp4"), "--output", "rows.csv", "--save", "pictures"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == install_extra("video")
    assert not (tmp_path / "rows.csv").exists()


def test_without_pyav_clips_in_folders_are_left_out_and_said(mixed):
    program = "import sys; sys.modules['av'] = None\nfrom glamor_cli.__main__ import main\nmain()"
    arguments = ["predict", *OPTIONS, str(mixed), "--format", "jsonl"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert list(row) == list(COLUMNS)
    assert "videos in folders are left out" in done.stderr


def test_a_jump_of_hours_in_a_video_is_written(tmp_path):
    image = np.zeros((64, 64, 3), np.uint8)
    with write_video(tmp_path / "joined.mp4", (64, 64)) as writer:
        for time in (0.0, 1.0, 40_000.0, 40_001.0):
            writer.write(image, time)
    shown = [round(frame.time) for frame in frames_of(tmp_path / "joined.mp4")]
    assert shown == [0, 1, 3601, 3602]


@pytest.mark.parametrize(
    ("times", "length"), [([0.0], 1), ([0.0, 10.0, 20.0], 30), ([0.0, 10.0, 10.5], 11)]
)
def test_the_last_frame_is_shown_as_long_as_the_one_before(tmp_path, times, length):
    image = np.full((64, 64, 3), 90, np.uint8)
    with write_video(tmp_path / "slow.mp4", (64, 64)) as writer:
        for time in times:
            writer.write(image, time)
    with av.open(str(tmp_path / "slow.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(length)
        stream = container.streams.video[0]
        assert float(stream.duration * stream.time_base) == pytest.approx(length)


def test_without_an_encoder_of_h264_a_video_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    times = [0.0, 0.04, 0.5, 10.5]
    with write_video(tmp_path / "clip.mp4", (64, 64)) as writer:
        for number, time in enumerate(times):
            writer.write(np.full((64, 64, 3), 60 * number, np.uint8), time)
    frames = frames_of(tmp_path / "clip.mp4")
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-3)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
        assert container.duration / 1e6 == pytest.approx(20.5)


def test_a_video_that_fails_half_way_is_not_left(tmp_path):
    with pytest.raises(ZeroDivisionError), write_video(tmp_path / "half.mp4", (64, 48)) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
