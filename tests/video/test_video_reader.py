"""Whatever is in a video file: its frames in time, or one clear error."""

import os
import random
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import crossing, gray, grays, write_clip

from glamor_cli.errors import ConfigError, DataError
from glamor_cli.vision.frames import Frame
from glamor_cli.vision.images import MAX_PIXELS
from glamor_cli.vision.options import Sampling
from glamor_cli.vision.video_reader import is_video, read_comment, read_video

GRAY_CLIPS = (
    "gray.mp4",
    "gray.mkv",
    "gray.mov",
    "gray.ts",
    "gray.avi",
    "gray.mpg",
    "gray.flv",
    "gray.webm",
)


def read(path: Path, **options: float) -> list[Frame]:
    return list(read_video(path, Sampling(**options)))


def read_what_there_is(path: Path) -> tuple[list[Frame], DataError | None]:
    frames = []
    try:
        for frame in read_video(path):
            frames.append(frame)
    except DataError as error:
        return frames, error
    return frames, None


def test_a_file_may_be_named_by_text(clips):
    assert len(read(str(clips / "gray.mp4"))) == 30


@pytest.mark.parametrize("name", GRAY_CLIPS)
def test_every_frame_comes_once_in_order_with_its_time(clips, name):
    frames = read(clips / name)
    assert [frame.index for frame in frames] == list(range(30))
    assert [round(frame.time, 2) for frame in frames] == [round(n / 25, 2) for n in range(30)]
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        assert abs(frame.image.mean() - gray(frame.index)) < 5


@pytest.mark.parametrize("ending", ["mkv", "webm", "mp4", "mov", "ts"])
def test_a_whole_video_may_begin_late(tmp_path, ending):
    codec = "libvpx-vp9" if ending == "webm" else "libx264"
    times = (3 + number / 25 for number in range(30))
    path = write_clip(tmp_path / f"late.{ending}", grays(30), times=times, codec=codec)
    assert len(read(path)) == 30


@pytest.mark.parametrize(
    ("sampling", "indices"),
    [
        ({"stride": 7}, [0, 7, 14, 21, 28]),
        ({"stride": 100}, [0]),
        ({"every": 0.2}, [0, 5, 10, 15, 20, 25]),
        # Frames are 0.04 s apart: the first in each interval, and the error does not add up.
        ({"every": 0.1}, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        ({"every": 0.001}, list(range(30))),
        ({"every": 60}, [0]),
    ],
)
def test_sampling(clips, sampling, indices):
    assert [frame.index for frame in read(clips / "gray.mp4", **sampling)] == indices


@pytest.mark.parametrize(
    "sampling",
    [{"stride": 0}, {"every": 0}, {"every": -1}, {"every": float("inf")}, {"every": float("nan")}],
)
def test_sampling_that_cannot_be(sampling):
    with pytest.raises(ConfigError):
        Sampling(**sampling)


def test_stride_and_time_together_are_refused():
    with pytest.raises(ConfigError, match="not both"):
        Sampling(2, 0.5)


def test_a_variable_frame_rate_is_followed(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.52, 1.9, 2.0, 3.25]
    path = write_clip(tmp_path / "vfr.mp4", grays(8), times=times)
    assert [round(frame.time, 2) for frame in read(path)] == times
    assert [round(frame.time, 2) for frame in read(path, every=0.5)] == [0, 0.5, 1.9, 2.0, 3.25]


def test_a_time_told_twice_does_not_move_the_later_ones(tmp_path):
    """Frames then come faster than on average: counting on from the second would never catch up."""
    slow, fast = [n / 2 for n in range(20)], [10 + n / 25 for n in range(100)]
    times = [*slow, 10.0, *fast]
    images = (np.full((48, 64, 3), 2 * number, np.uint8) for number in range(len(times)))
    path = write_clip(tmp_path / "twice.webm", images, times=times, codec="libvpx")
    told = [frame.time for frame in read(path)]
    assert all(a < b for a, b in pairwise(told))
    np.testing.assert_allclose(told, times, atol=0.0015)


def test_where_only_the_order_of_decoding_is_told_frames_come_evenly(tmp_path):
    """AVI has no other times, and H.264 stores frames in another order than it shows them."""
    path = write_clip(tmp_path / "reordered.avi", grays(30), rate=25)
    frames = read(path)
    assert all(abs(frame.image.mean() - gray(frame.index)) < 5 for frame in frames)
    np.testing.assert_allclose(np.diff([frame.time for frame in frames])[4:], 0.04, atol=1e-6)


def test_a_recording_joined_on_keeps_its_own_times(tmp_path):
    first, second = tmp_path / "first.ts", tmp_path / "second.ts"
    write_clip(first, grays(30), rate=10)
    write_clip(second, grays(20), times=[n / 2 for n in range(20)])
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    frames, error = read_what_there_is(path)
    assert error is None
    told = [frame.time for frame in frames]
    assert told[:30] == pytest.approx([n / 10 for n in range(30)])
    steps = np.diff(told[30:])
    # Where it begins is anybody's guess, and the next frame tells that it is another recording.
    np.testing.assert_allclose(steps[1:], 0.5, atol=1e-3)
    assert 0 < steps[0] <= 0.5


@pytest.mark.parametrize(
    ("ending", "begins"), [("ts", (100, 0)), ("ts", (0, 100)), ("mpg", (300, 0)), ("mpg", (0, 300))]
)
def test_recordings_of_different_hours_joined_on_do_not_leap(tmp_path, ending, begins):
    """An hour that falls FFmpeg takes for the next turn of the clock, 26 hours later."""
    path = tmp_path / f"joined.{ending}"
    codec = "mpeg2video" if ending == "mpg" else "libx264"
    for second in begins:
        part = tmp_path / f"{second}.{ending}"
        options = {"output_ts_offset": str(second)}
        write_clip(part, grays(30), rate=25, codec=codec, options=options)
        with path.open("ab") as joined:
            joined.write(part.read_bytes())
    frames, error = read_what_there_is(path)
    np.testing.assert_allclose(np.diff([frame.time for frame in frames]), 0.04, atol=0.021)
    assert len(frames) > 55
    if begins[0] > begins[1]:
        assert error is None


def test_a_broadcast_of_few_pictures_is_followed(tmp_path):
    path = write_clip(tmp_path / "slides.ts", grays(4), times=[0, 9, 18, 27])
    frames, _ = read_what_there_is(path)
    assert [round(frame.time, 2) for frame in frames] == [0, 9, 18, 27]
    # The second looks like a join until the third leaps as far.
    path = write_clip(tmp_path / "stills.ts", grays(5), times=[0, 60, 120, 180, 240])
    frames, _ = read_what_there_is(path)
    assert [round(frame.time) for frame in frames][2:] == [120, 180, 240]


def test_one_time_that_is_damaged_does_not_move_the_later_ones(tmp_path):
    path = write_clip(tmp_path / "damaged.webm", grays(30), rate=10, codec="libvpx")
    content = path.read_bytes()
    # The block of track 1 that is shown two seconds after its cluster begins.
    block = b"\x81" + struct.pack(">h", 2000)
    assert content.count(block) == 1
    path.write_bytes(content.replace(block, b"\x81" + struct.pack(">h", 0)))
    np.testing.assert_allclose([frame.time for frame in read(path)], np.arange(30) / 10)


def test_time_begins_with_the_video_not_with_the_broadcast(tmp_path):
    path = tmp_path / "late.ts"
    write_clip(path, grays(5), times=[1000 + n / 10 for n in range(5)])
    assert [round(frame.time, 2) for frame in read(path)] == [0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("sound_first", [True, False])
def test_the_sound_beside_a_video_does_not_matter(tmp_path, sound_first):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        streams = {}
        for name in ("sound", "video") if sound_first else ("video", "sound"):
            streams[name] = container.add_stream(*CODECS[name])
        video = streams["video"]
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        add_silence(container, streams["sound"], seconds=4)
        for pixels in grays(5):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(video.encode(None))
    assert [frame.index for frame in read(path)] == [0, 1, 2, 3, 4]


CODECS = {"sound": ("aac", 44100), "video": ("libx264", 10)}


@pytest.mark.parametrize(("ending", "late"), [("mp4", 70), ("mkv", 70), ("ts", 3)])
def test_time_begins_with_the_sound_if_that_comes_first(tmp_path, ending, late):
    path = tmp_path / f"late-picture.{ending}"
    # As of a broadcast, of which both begin late.
    with av.open(str(path), "w", options={"output_ts_offset": "1000"}) as container:
        sound, video = (container.add_stream(*CODECS[name]) for name in ("sound", "video"))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        add_silence(container, sound, seconds=4)
        for number, pixels in enumerate(grays(5)):
            frame = av.VideoFrame.from_ndarray(pixels)
            frame.pts, frame.time_base = 1000 * late + 100 * number, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    # Transport streams know no times below zero, so that all move up by a block of 1024 samples.
    told = [frame.time for frame in read(path)]
    np.testing.assert_allclose(told, late + np.arange(5) / 10, atol=0.03)


def test_time_does_not_begin_with_another_programme(tmp_path):
    """Each programme of a broadcast has a clock of its own."""
    programmes = []
    for number, begins in ((1, 10), (2, 5000)):
        path = write_clip(
            tmp_path / f"{number}.ts",
            grays(30),
            times=[begins + n / 10 for n in range(30)],
            options={
                "mpegts_service_id": str(number),
                "mpegts_pmt_start_pid": str(0x1000 + 0x100 * number),
                "mpegts_start_pid": str(0x100 * number),
            },
        )
        content = path.read_bytes()
        packets = [content[at : at + 188] for at in range(0, len(content), 188)]
        programmes.append([packet for packet in packets if pid(packet) not in (0, 0x11)])
    first, second = programmes
    # The first is longer, so that its picture is the one that is read.
    mixed = [packet for both in zip(second, first, strict=False) for packet in both]
    path = tmp_path / "both.ts"
    path.write_bytes(programme_table({1: 0x1100, 2: 0x1200}) + b"".join(mixed))
    with av.open(str(path)) as container:
        starts = [stream.start_time * stream.time_base for stream in container.streams.video]
    assert abs(starts[0] - starts[1]) > 4900
    assert read(path)[0].time < 1


def pid(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


def programme_table(programmes: dict[int, int]) -> bytes:
    """A transport stream's packet with the table that says where programmes are described."""
    rows = b"".join(struct.pack(">HH", number, 0xE000 | at) for number, at in programmes.items())
    table = struct.pack(">BHHBBB", 0, 0xB000 | 9 + len(rows), 1, 0xC1, 0, 0) + rows
    crc = 0xFFFFFFFF
    for byte in table:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    section = table + crc.to_bytes(4, "big")
    return (b"\x47\x40\x00\x10\x00" + section).ljust(188, b"\xff")


def test_time_does_not_begin_with_what_warms_up_the_decoder_of_sound(tmp_path):
    path = tmp_path / "both.ts"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        sound, video = (container.add_stream(*CODECS[name]) for name in ("sound", "video"))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.max_b_frames = 0
        add_silence(container, sound, seconds=1)
        for pixels in grays(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(video.encode(None))
    with av.open(str(path)) as container:
        assert container.start_time < 0
    assert [frame.time for frame in read(path)] == pytest.approx([0, 0.1, 0.2])


def test_sound_may_begin_long_after_the_picture(tmp_path):
    """Beyond what FFmpeg looks at when it opens a file that has no list of its streams."""
    path = tmp_path / "late-sound.flv"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video, sound = container.add_stream("flv1", 25), container.add_stream("libmp3lame", 44100)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        video.bit_rate = 8_000_000
        for _ in range(250):
            pixels = noise.integers(0, 255, (120, 160, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(video.encode(None))
        add_silence(container, sound, seconds=1, begins=10)
    frames, error = read_what_there_is(path)
    assert len(frames) == 250
    assert error is None


@pytest.mark.parametrize("begins", [20, 0])
def test_a_picture_that_goes_on_in_another_stream_is_told(tmp_path, begins):
    """As where a broadcast changes it; two that are sent side by side are no damage."""
    path = tmp_path / "two.ts"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", 10) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for stream, first in zip(streams, (0, begins), strict=True):
            for number, pixels in enumerate(grays(20), first):
                frame = av.VideoFrame.from_ndarray(pixels)
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    frames, error = read_what_there_is(path)
    assert len(frames) == 20
    assert (error is not None) == (begins > 0)
    if error is not None:
        assert "after 1.90 s it goes on in a stream that is not read" in error.what


class Pipe:
    """Takes what is written, and nobody can go back in it."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


@pytest.mark.parametrize(("kind", "codec"), [("matroska", "mjpeg"), ("avi", "mpeg4")])
def test_a_recording_into_a_pipe_is_whole_though_its_head_tells_no_length(tmp_path, kind, codec):
    pipe = Pipe()
    with av.open(pipe, "w", format=kind) as container:
        video, sound = container.add_stream(codec, 25), container.add_stream("pcm_s16le", 8000)
        video.width, video.height = 320, 240
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(50):
            pixels = noise.integers(0, 255, (240, 320, 3), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(video.encode(None))
        add_silence(container, sound, seconds=2, rate=8000)
    path = tmp_path / f"piped.{kind[:3]}"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as container:
        assert container.duration > 4e6
    frames, error = read_what_there_is(path)
    assert len(frames) == 50
    assert error is None


def test_an_avi_that_ends_in_frames_that_only_repeat_is_whole(tmp_path):
    """Recorders of screens store them as chunks without bytes, which FFmpeg passes over."""
    path = tmp_path / "still.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for pixels in grays(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))
        for number in range(10, 40):
            packet = av.Packet(b"")
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)
    frames, error = read_what_there_is(path)
    assert len(frames) == 10
    assert error is None
    path.write_bytes(path.read_bytes()[:-4000])
    assert read_what_there_is(path)[1] is not None


def add_silence(container, stream, *, seconds: int, begins: int = 0, rate: int = 44100) -> None:
    kind = stream.codec_context.format.name
    silence = np.zeros((1, rate), {"fltp": "f4", "s32p": "i4", "s16": "i2"}[kind])
    for second in range(begins, begins + seconds):
        frame = av.AudioFrame.from_ndarray(silence, format=kind, layout="mono")
        frame.rate, frame.pts, frame.time_base = rate, rate * second, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def test_a_file_of_sound_alone_is_told_apart(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        add_silence(container, container.add_stream("aac", rate=44100), seconds=1)
    with pytest.raises(DataError, match="no video"):
        read(path)


def test_what_is_no_video_is_one_error(clips, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 1000)
    (tmp_path / "zeros.mkv").write_bytes(bytes(100_000))
    # Playlists name other files, even on other machines.
    (tmp_path / "list.mp4").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clips / 'gray.ts'}\n#EXT-X-ENDLIST\n"
    )
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{clips / 'gray.mp4'}'\n")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("empty", "text", "list", "concat", "folder", "missing"):
        with pytest.raises(DataError) as caught:
            read(tmp_path / f"{name}.mp4")
        assert f"{name}.mp4" in caught.value.what
        assert "\n" not in caught.value.what
    with pytest.raises(DataError):
        read(tmp_path / "zeros.mkv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a named pipe")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="not a file"):
        read(tmp_path / "pipe.mp4")


@pytest.mark.parametrize(
    "name", ["concat:x.mp4", "http:clip.mp4", "-i.mp4", "%d.mp4", "line\nbreak, 'é'.mp4"]
)
def test_a_name_is_only_a_name(clips, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    shutil.copy(clips / "gray.mp4", name)
    assert len(read(Path(name))) == 30


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_a_name_that_is_no_unicode(clips, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(clips / "gray.mp4", path)
    assert len(read(path)) == 30


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_title_that_is_no_unicode(tmp_path, ending):
    path = write_clip(tmp_path / f"titled.{ending}", grays(3), title="CAFE")
    content = path.read_bytes()
    assert b"CAFE" in content
    path.write_bytes(content.replace(b"CAFE", b"CAF\xe9"))
    assert len(read(path)) == 3
    assert read_comment(path) is None


@pytest.mark.parametrize("name", GRAY_CLIPS)
def test_of_a_file_cut_short_the_beginning_is_read(clips, tmp_path, name):
    """Cut anywhere: nothing but a ``DataError``, after frames equal to the whole file's."""
    whole = read(clips / name)
    content = (clips / name).read_bytes()
    path = tmp_path / name
    generator = random.Random(0)
    came = 0
    for _ in range(12):
        path.write_bytes(content[: generator.randrange(1, len(content) - 1)])
        frames, error = read_what_there_is(path)
        came = max(came, len(frames))
        # The last one may be damaged, and what comes after a gap is not predictable.
        for frame, expected in zip(frames[:-1], whole, strict=False):
            assert frame.index == expected.index
            if error is None:
                assert np.abs(frame.image.astype(int) - expected.image).mean() < 12
        # Only a container that tells its length can be found short.
        if len(frames) < 15 and name not in ("gray.ts", "gray.mpg", "gray.flv"):
            assert error is not None
    # An MP4's table of contents lies at its end.
    if name not in ("gray.mp4", "gray.mov"):
        assert came > 3


def test_a_stream_that_breaks_off_says_when(tmp_path):
    path = write_clip(tmp_path / "fast.mp4", crossing(), options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10])
    frames, error = read_what_there_is(path)
    assert 5 <= len(frames) < 20
    assert error is not None
    assert f"ends after {frames[-1].time:.2f} s of 2.00 s" in error.what


def test_damage_in_the_middle_is_passed_over_and_told(tmp_path):
    path = write_clip(tmp_path / "damaged.mkv", crossing(40))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(content)
    frames, error = read_what_there_is(path)
    assert error is not None
    assert "parts have errors" in error.what
    assert len(frames) > 20
    assert frames[-1].time > 3.5
    assert all(a.time < b.time for a, b in pairwise(frames))


def test_a_recording_that_begins_between_key_frames_is_whole(clips, tmp_path):
    """Broadcasts are joined at any place; what precedes the first key frame is not damage."""
    content = (clips / "gray.ts").read_bytes()
    path = tmp_path / "joined.ts"
    with av.open(str(clips / "gray.ts")) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos]
    # Stream tables come first and now and then.
    path.write_bytes(content[: 3 * 188] + content[places[4] :])
    frames, error = read_what_there_is(path)
    assert error is None
    assert len(frames) >= 20


@pytest.mark.parametrize("header", [True, False])
def test_frames_too_large_are_refused_before_they_are_decoded(tmp_path, header):
    """A JPEG that says 12000 x 12000 pixels, in all frames or in a later one."""
    path = write_clip(tmp_path / "bomb.avi", grays(4), codec="mjpeg")
    content = bytearray(path.read_bytes())
    place, number = content.find(b"\xff\xc0"), 0
    while place >= 0:
        if header or number == 2:
            content[place + 5 : place + 9] = struct.pack(">HH", 12_000, 12_000)
        place, number = content.find(b"\xff\xc0", place + 1), number + 1
    path.write_bytes(content)
    assert MAX_PIXELS < 12_000 * 12_000
    frames, error = read_what_there_is(path)
    assert error is not None
    assert [frame.index for frame in frames] == ([] if header else [0, 1, 2])


@pytest.mark.parametrize("table", ["stsz", "trun"])
def test_a_file_that_announces_millions_of_frames_takes_no_memory_for_them(tmp_path, table):
    """FFmpeg took 3 GB and 16 s for a file of two kilobytes."""
    in_parts = {"movflags": "frag_keyframe+empty_moov"} if table == "trun" else {}
    path = write_clip(tmp_path / "forged.mp4", grays(4), options=in_parts)
    assert len(read(path)) == 4
    content = bytearray(path.read_bytes())
    start = content.index(table.encode()) + 4
    # One size for all samples: in itself, or as the fragment's head has it.
    forged = (0, 1, 88_000_000) if table == "stsz" else (1, 88_000_000)
    content[start : start + 4 * len(forged)] = struct.pack(f">{len(forged)}I", *forged)
    path.write_bytes(content)
    frames, error = read_what_there_is(path)
    assert frames == []
    assert "announces far more frames than fit into its" in error.what


def test_a_resolution_that_changes(tmp_path):
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    write_clip(small, grays(5))
    write_clip(large, grays(5, (128, 96)))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames, _ = read_what_there_is(joined)
    assert {frame.image.shape for frame in frames} == {(48, 64, 3), (96, 128, 3)}
    assert all(a.time < b.time for a, b in pairwise(frames))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    """Five times the frames, the same memory; held, the frames would take 600 MB more.

    Before some hundred frames the decoder's own buffers still grow.
    """
    program = (
        "import sys; from pathlib import Path\n"
        "from glamor_cli.vision.video_reader import read_video\n"
        "count = sum(1 for _ in read_video(Path(sys.argv[1]), threads=2))\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(count, status.partition('VmHWM:')[2].split()[0])"
    )
    peaks = []
    for count in (300, 1500):
        path = write_clip(tmp_path / f"{count}.mp4", grays_of_any_number(count), codec="mpeg4")
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
        )
        frames, peak = map(int, done.stdout.split())
        assert frames == count
        peaks.append(peak * 1024)
    assert peaks[1] - peaks[0] < 25_000_000


def grays_of_any_number(count: int):
    for number in range(count):
        yield np.full((360, 480, 3), number % 256, np.uint8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.MP4", True), ("b/c.mkv", True), ("x*.mov", True), ("a.jpg", False), ("mp4", False)],
)
def test_videos_are_known_by_their_names(name, expected):
    assert is_video(name) is expected
