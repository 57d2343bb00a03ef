"""The picture of a video's emotions: true to what was seen, and of bounded memory."""

import numpy as np
import pytest
from PIL import Image

from glamor_cli.labels import EMOTIONS
from glamor_cli.predict.timeline import BINS, MOST_TRACKS, Timeline
from glamor_cli.rendering.colours import emotion_colour
from glamor_cli.rendering.timeline import draw_timeline, save_timeline
from glamor_cli.vision.tracks import TrackedFace


def person(track: int, **shares: float) -> TrackedFace:
    rest = (1 - sum(shares.values())) / (len(EMOTIONS) - len(shares))
    return TrackedFace(track, np.array([shares.get(name, rest) for name in EMOTIONS], np.float32))


def test_a_short_video_keeps_every_frame():
    timeline = Timeline(EMOTIONS)
    for number in range(50):
        timeline.add(number / 10, [person(1, Happy=number / 50)])
    (line,) = timeline.lines()
    assert (line.track, line.frames) == (1, 50)
    np.testing.assert_allclose(line.times, np.arange(50) / 10)
    np.testing.assert_allclose(
        line.probabilities[:, EMOTIONS.index("Happy")], np.arange(50) / 50, atol=1e-6
    )


def test_a_long_one_keeps_means_over_time():
    timeline = Timeline(EMOTIONS)
    seconds = 3 * 3600
    for second in range(seconds):
        timeline.add(second, [person(1, Sad=second / seconds)])
    (line,) = timeline.lines()
    assert BINS / 2 <= len(line.times) <= BINS
    assert line.frames == seconds
    assert (np.diff(line.times) > 0).all()
    np.testing.assert_allclose(line.probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        line.probabilities[:, EMOTIONS.index("Sad")], line.times / seconds, atol=1e-4
    )


def test_a_time_far_away_is_taken(tmp_path):
    """Damaged files jump by years."""
    timeline = Timeline(EMOTIONS)
    timeline.add(0, [person(1)])
    timeline.add(1e12, [person(1)])
    save_timeline(tmp_path / "far.png", timeline, "far.mp4")
    assert len(timeline.lines()[0].times) == 2


def test_frames_count_and_not_when_they_were():
    timeline = Timeline(EMOTIONS)
    for number in range(20):
        timeline.add(number / 100, [person(1)])
    for track in range(2, MOST_TRACKS + 2):
        timeline.add(1000 + track, [person(track)])
    timeline.add(2000, [person(1)])
    first, *others = timeline.lines()
    assert (first.track, first.frames) == (1, 21)
    assert len(others) == MOST_TRACKS - 1
    assert timeline.forgotten == 1


def test_of_a_crowd_those_seen_longest_are_kept():
    timeline = Timeline(EMOTIONS)
    for number in range(40):
        timeline.add(number / 10, [person(1)])
    for number in range(500):
        timeline.add(4 + number / 10, [person(2 + number)])
    lines = timeline.lines()
    assert len(lines) == MOST_TRACKS
    assert lines[0].track == 1
    assert timeline.forgotten == 501 - MOST_TRACKS
    note = draw_timeline(timeline, "crowd.mp4").legends[0].get_title().get_text()
    assert note.endswith("; 493 more people are left out: these were seen longest")


def test_one_who_has_no_panel_is_one_person():
    timeline = Timeline(EMOTIONS)
    assert timeline.forgotten == 0
    timeline.add(0, [person(1 + number) for number in range(9)])
    note = draw_timeline(timeline, "nine.mp4").legends[0].get_title().get_text()
    assert "1 more person is left out" in note


def test_the_picture_shows_who_felt_what_when(tmp_path):
    """Happy, then out of sight, then sad: yellow, white, blue, at their times."""
    timeline = Timeline(EMOTIONS)
    for number in range(120):
        time = number / 10
        if time < 4:
            timeline.add(time, [person(1, Happy=0.97)])
        elif time < 8:
            timeline.add(time, [])
        else:
            timeline.add(time, [person(1, Sad=0.97)])
    figure = draw_timeline(timeline, "a $strange$ \n name.mp4")
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {"Happy", "Sad"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(EMOTIONS)
    path = tmp_path / "timeline.png"
    save_timeline(path, timeline, "a $strange$ \n name.mp4")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    figure.canvas.draw()
    scale = pixels.shape[1] / figure.canvas.get_width_height()[0]
    for time, colour in (
        (1.0, emotion_colour(EMOTIONS, EMOTIONS.index("Happy"))),
        (6.0, "#FFFFFF"),
        (9.0, emotion_colour(EMOTIONS, EMOTIONS.index("Sad"))),
    ):
        x, y = axes.transData.transform((time, 0.8)) * scale
        shown = pixels[pixels.shape[0] - round(y), round(x)]
        assert "#" + shown.tobytes().hex().upper() == colour


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (130, ["0:00", "0:30", "1:00", "1:30", "2:00"]),
        (240, ["0:00", "1:00", "2:00", "3:00", "4:00"]),
        (3600, ["0:00", "10:00", "20:00", "30:00", "40:00", "50:00", "1:00:00"]),
        (5401, ["0:00", "15:00", "30:00", "45:00", "1:00:00", "1:15:00", "1:30:00"]),
    ],
)
def test_long_videos_have_round_times(end, expected):
    timeline = Timeline(EMOTIONS)
    for time in np.linspace(0, end, 50):
        timeline.add(time, [person(1)])
    (axes,) = draw_timeline(timeline, "long.mp4").axes
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == expected


def parts(timeline: Timeline) -> int:
    """How many pieces the picture shows of its only panel's person."""
    (axes,) = draw_timeline(timeline, "parts.mp4").axes
    return len(axes.collections) // len(EMOTIONS)


@pytest.mark.parametrize(("step", "held"), [(0.02, 1.5), (0.5, 300.0)])
def test_a_frame_that_is_held_shows_nobody_as_out_of_sight(step, held):
    """Screen recordings and slides have such: a frame comes only when something changes."""
    timeline, time = Timeline(EMOTIONS), 0.0
    for number in range(40):
        timeline.add(time, [person(1)])
        time += step if number % 10 else held
    assert parts(timeline) == 1


@pytest.mark.parametrize(("absent", "pieces"), [(2, 1), (3, 2), (30, 2)])
def test_who_is_missed_for_a_moment_is_not_out_of_sight(absent, pieces):
    timeline = Timeline(EMOTIONS)
    for number in range(60):
        seen = not 20 <= number < 20 + absent
        timeline.add(number / 10, [person(1)] if seen else [])
    assert parts(timeline) == pieces


@pytest.mark.parametrize("times", [[0.0], [7.5], [0.0, 0.04]])
def test_somebody_seen_for_a_moment_is_seen_in_the_picture(tmp_path, times):
    timeline = Timeline(EMOTIONS)
    timeline.add(0, [])
    for time in times:
        timeline.add(time, [person(1, Anger=0.97)])
    timeline.add(10, [])
    path = tmp_path / "timeline.png"
    save_timeline(path, timeline, "moment.mp4")
    pixels = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    anger = np.array([0xD5, 0x5E, 0x00])
    # More than the legend's patch of 34 x 10 pixels.
    assert (np.abs(pixels.astype(int) - anger).max(axis=1) < 3).sum() > 500


def test_a_single_frame_fills_the_picture_and_has_one_time():
    timeline = Timeline(EMOTIONS)
    timeline.add(0, [person(1, Happy=0.97)])
    (axes,) = draw_timeline(timeline, "one.mp4").axes
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0 s"]
    (name,) = axes.texts
    assert name.get_text() == "Happy"
    assert name.get_position()[0] == np.mean(axes.get_xlim())


def test_newcomers_who_come_together_all_get_a_line():
    timeline = Timeline(EMOTIONS)
    for number in range(MOST_TRACKS):
        for frame in range(3):
            timeline.add(number + frame / 10, [person(1 + number)])
    for frame in range(50):
        timeline.add(100 + frame / 10, [person(track) for track in (101, 102, 103)])
    frames = {line.track: line.frames for line in timeline.lines()}
    assert len(frames) == MOST_TRACKS
    assert [frames[track] for track in (101, 102, 103)] == [50] * 3


def test_of_too_many_at_once_the_first_are_kept():
    timeline = Timeline(EMOTIONS)
    for frame in range(20):
        timeline.add(frame / 10, [person(1 + number) for number in range(MOST_TRACKS + 6)])
    lines = timeline.lines()
    assert [line.track for line in lines] == list(range(1, 1 + MOST_TRACKS))
    assert {line.frames for line in lines} == {20}
    assert timeline.forgotten == 6


def test_dollar_signs_in_the_names_of_classes_are_no_formulas(tmp_path):
    classes = ("$\\frac$", "a $ sign", "c" * 300)
    timeline = Timeline(classes)
    for time in range(10):
        shares = np.eye(3, dtype=np.float32)[time // 5]
        timeline.add(time, [TrackedFace(1, shares)])
    figure = draw_timeline(timeline, "dollars.mp4")
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown[:2] == [r"\$\frac\$", r"a \$ sign"]
    assert [text.get_text() for text in figure.axes[0].texts] == shown[:2]
    save_timeline(tmp_path / "timeline.png", timeline, "dollars.mp4")
    with Image.open(tmp_path / "timeline.png") as image:
        assert image.width == 1320


@pytest.mark.parametrize("word", ["feeling ", "MW"])
@pytest.mark.parametrize("classes", [(2, 3), (7, 8), (9, 24), (40, 20), (300, 30)])
def test_the_legend_has_room_for_all_names(classes, word):
    number, letters = classes
    names = tuple(f"{n} {word * 30}"[:letters] for n in range(number))
    timeline = Timeline(names)
    for time in range(3):
        timeline.add(time, [TrackedFace(1, np.full(number, 1 / number, np.float32))])
    figure = draw_timeline(timeline, "many.mp4")
    figure.draw_without_rendering()
    (legend,), (axes,) = figure.legends, figure.axes
    place, panel = legend.get_window_extent(), axes.get_window_extent()
    assert place.x0 >= 0 and place.y0 >= 0 and place.x1 <= figure.bbox.x1
    assert panel.height > 60
    assert panel.y0 > place.y1
