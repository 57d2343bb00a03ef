"""Where following a face has its bounds: looks that it may miss, and how far it may have gone."""

import numpy as np
import pytest

from glamor_cli.errors import ConfigError
from glamor_cli.vision.options import TrackingConfig
from glamor_cli.vision.tracks import FaceTracker

SECONDS = 5
"""Between looks: more than a track may go unseen, so that the looks are what counts."""


def follow(seen: list[bool]) -> list[int | None]:
    """The numbers of one still face, seen at some of the looks."""
    tracker, found = FaceTracker(), []
    for look, is_seen in enumerate(seen):
        boxes = np.array([[100, 100, 160, 160]] if is_seen else [], np.float32)
        faces = tracker.update(look * SECONDS, boxes, [np.ones(1, np.float32)] * is_seen)
        found.append(faces[0].track if faces else None)
    return found


def test_looks_that_miss_a_face_count_anew_each_time():
    assert follow([True, False] * 4)[::2] == [1, 1, 1, 1]


@pytest.mark.parametrize(("missed", "track"), [(2, 1), (3, 2)])
def test_a_face_may_be_missed_twice_in_a_row(missed, track):
    assert follow([True] + [False] * missed + [True])[-1] == track


@pytest.mark.parametrize(("moved", "track"), [(55, 1), (70, 2)])
def test_boxes_grow_for_a_second_and_no_longer(moved, track):
    """By half a side each way: 120 wide, they overlap by 65 of 175, or only by 50 of 190."""
    tracker, answers = FaceTracker(), [np.ones(1, np.float32)]
    for time, x, expected in ((100, 1000, 1), (100 + SECONDS, 1000 + moved, track)):
        (face,) = tracker.update(time, np.array([[x, 800, x + 60, 860]], np.float32), answers)
        assert face.track == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_overlap": -1}, "min_overlap must be above 0 and at most 1, not -1"),
        ({"min_overlap": 0}, "min_overlap must be above 0"),
        ({"min_overlap": 1.5}, "at most 1, not 1.5"),
        ({"min_overlap": np.nan}, "not nan"),
        ({"growth": -0.5}, "growth must be 0 or more, not -0.5"),
        ({"lost_after": -1}, "lost_after must be 0 or more, not -1"),
        ({"lost_after": np.nan}, "lost_after must be 0 or more, not nan"),
        ({"lost_looks": -1}, "lost_looks must be 0 or more, not -1"),
    ],
)
def test_rules_that_cannot_be(values, message):
    """A least overlap below 0 would join faces and tracks without end."""
    with pytest.raises(ConfigError, match=message):
        TrackingConfig(**values)
