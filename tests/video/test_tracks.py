"""One person keeps one number; the emotion is smoothed over seconds, whatever the frame rate."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glamor_cli.errors import ConfigError
from glamor_cli.vision.options import TrackingConfig
from glamor_cli.vision.tracks import FaceTracker

SURE = np.array([1, 0, 0], np.float32)
OTHER = np.array([0, 0.25, 0.75], np.float32)


def box(x: float, y: float = 100, side: float = 60) -> list[float]:
    return [x, y, x + side, y + side]


def numbers(tracker: FaceTracker, time: float, *boxes: list[float]) -> list[int]:
    faces = tracker.update(time, np.array(boxes, np.float32), [SURE] * len(boxes))
    return [face.track for face in faces]


def test_people_keep_their_numbers_whoever_is_surer():
    tracker = FaceTracker()
    assert numbers(tracker, 0.0, box(0), box(300)) == [1, 2]
    assert numbers(tracker, 0.1, box(305), box(4)) == [2, 1]
    assert numbers(tracker, 0.2, box(600), box(8), box(310)) == [3, 1, 2]
    assert numbers(tracker, 0.3) == []
    assert numbers(tracker, 0.4, box(10)) == [1]


def test_boxes_may_come_in_one_array_filled_anew_for_each_frame():
    tracker = FaceTracker()
    boxes = np.empty((1, 4), np.float32)
    for number, x in enumerate((0, 400, 800)):
        boxes[0] = box(x)
        assert tracker.update(number / 10, boxes, [SURE])[0].track == number + 1


@pytest.mark.parametrize("rate", [10, 15, 30])
def test_people_who_pass_each_other_keep_their_numbers(rate):
    """The one behind is hidden, and its motion says where to look for it."""
    tracker = FaceTracker()
    for number in range(4 * rate):
        time = number / rate
        front, behind = box(100 * time, side=80), box(360 - 100 * time)
        hidden = abs(front[0] - behind[0]) < 50
        seen = numbers(tracker, time, front, *([] if hidden else [behind]))
        assert seen == ([1] if hidden else [1, 2])


def test_who_runs_on_unseen_is_met_where_the_speed_leads():
    """By then nothing is left of the place where it was last seen."""
    tracker, rate, step = FaceTracker(), 25, 25
    for number in range(50):
        assert numbers(tracker, number / rate, box(step * number)) == [1]
    assert numbers(tracker, 55 / rate, box(step * 55)) == [1]


def test_neighbours_cheek_to_cheek_are_not_mixed_up():
    """Even when the detector misses one of them now and then."""
    tracker = FaceTracker()
    generator = np.random.default_rng(0)
    for number in range(60):
        left, right = (box(x + generator.normal() * 2, side=60) for x in (100, 162))
        if number % 7 == 3:
            assert numbers(tracker, number / 10, right) == [2]
        else:
            assert numbers(tracker, number / 10, left, right) == [1, 2]


def test_who_comes_back_soon_is_the_same_person_and_later_is_not():
    tracker = FaceTracker(TrackingConfig(lost_after=1.0))
    for tenth in range(5):
        assert numbers(tracker, tenth / 10, box(100)) == [1]
    for tenth in range(5, 13):
        assert numbers(tracker, tenth / 10) == []
    assert numbers(tracker, 1.3, box(103)) == [1]
    for tenth in range(14, 26):
        assert numbers(tracker, tenth / 10) == []
    assert numbers(tracker, 2.6, box(103)) == [2]


def test_at_a_cut_everybody_is_somebody_else():
    tracker = FaceTracker()
    tracker.update(0.0, np.array([box(100)], np.float32), [SURE])
    tracker.cut()
    (face,) = tracker.update(0.1, np.array([box(100)], np.float32), [OTHER])
    assert face.track == 2
    np.testing.assert_array_equal(face.probabilities, OTHER)


def test_frames_far_apart_leave_a_head_time_to_move():
    """Seconds between frames: a face's width of movement, and a frame in which it is missed."""
    tracker = FaceTracker()
    assert numbers(tracker, 0, box(100)) == [1]
    assert numbers(tracker, 5, box(150)) == [1]
    assert numbers(tracker, 10) == []
    assert numbers(tracker, 15, box(120)) == [1]
    # At a film's rate the same jump is somebody else.
    tracker = FaceTracker()
    assert numbers(tracker, 0, box(100)) == [1]
    assert numbers(tracker, 0.04, box(150)) == [2]


def test_a_person_coming_nearer_stays_the_same():
    tracker = FaceTracker()
    for number in range(30):
        side = 40 * 1.08**number
        assert numbers(tracker, number / 10, box(300 - side / 2, 300 - side / 2, side)) == [1]


@pytest.mark.parametrize("rate", [3, 10, 50])
def test_smoothing_is_in_time_whatever_the_rate(rate):
    tracker = FaceTracker(TrackingConfig(smoothing=0.8))
    at = np.array([box(0)], np.float32)
    tracker.update(0, at, [SURE])
    for number in range(1, 2 * rate + 1):
        (face,) = tracker.update(number / rate, at, [OTHER])
    left = math.exp(-2 / 0.8)
    np.testing.assert_allclose(face.probabilities, left * SURE + (1 - left) * OTHER, atol=1e-6)
    assert face.probabilities.sum() == pytest.approx(1)


def test_without_smoothing_answers_are_passed_on():
    tracker = FaceTracker(TrackingConfig(smoothing=0))
    at = np.array([box(0)], np.float32)
    for time, answer in ((0, SURE), (0.1, OTHER), (0.2, SURE)):
        (face,) = tracker.update(time, at, [answer])
        np.testing.assert_array_equal(face.probabilities, answer)


def test_an_emotion_is_not_smoothed_across_people():
    tracker = FaceTracker()
    tracker.update(0, np.array([box(0)], np.float32), [SURE])
    _, new = tracker.update(0.1, np.array([box(0), box(200)], np.float32), [SURE, OTHER])
    np.testing.assert_array_equal(new.probabilities, OTHER)


@pytest.mark.parametrize("smoothing", [-1, math.inf, math.nan])
def test_smoothing_that_cannot_be(smoothing):
    with pytest.raises(ConfigError, match="smoothing time must be 0 seconds or more"):
        TrackingConfig(smoothing)


places = st.tuples(*[st.floats(-50, 500, width=32)] * 2, st.floats(1, 200, width=32))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(places, max_size=6), max_size=12), st.floats(0.01, 3))
def test_any_faces_get_different_numbers_and_whole_probabilities(frames, step):
    tracker = FaceTracker()
    highest = 0
    for number, frame in enumerate(frames):
        boxes = np.array([box(*place) for place in frame], np.float32).reshape(-1, 4)
        faces = tracker.update(number * step, boxes, [OTHER] * len(frame))
        given_out = [face.track for face in faces]
        assert len(set(given_out)) == len(frame)
        # New numbers follow each other.
        new = sorted(track for track in given_out if track > highest)
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
        for face in faces:
            assert face.probabilities.sum() == pytest.approx(1, abs=1e-5)
