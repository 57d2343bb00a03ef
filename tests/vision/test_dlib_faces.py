"""dlib's detector: the authors' boxes, with their BGR and their inclusive edges."""

import re
import subprocess
import sys

import numpy as np
import pytest

from glamor_cli.cli.runtime_options import DetectorOption
from glamor_cli.errors import BackendUnavailable, ConfigError, DataError
from glamor_cli.vision import dlib_faces
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.dlib_faces import MAX_PIXELS
from glamor_cli.vision.options import DetectorKind

dlib = pytest.importorskip("dlib", reason="the extra dlib is not installed")


@pytest.fixture(scope="module")
def detector():
    return open_detector(DetectorKind.DLIB)


@pytest.fixture(scope="module")
def head(astronaut):
    """A part of the photograph, small because dlib is slow."""
    return np.ascontiguousarray(astronaut[40:210, 140:310])


@pytest.fixture(scope="module")
def authors(head):
    """The authors' call, word for word: BGR, upsampled once, edges as dlib gives them."""
    from glamor_cli.vision.dlib_faces import find_network

    network = dlib.cnn_face_detection_model_v1(str(find_network()))
    found = network(np.ascontiguousarray(head[:, :, ::-1]), 1)
    return [[d.rect.left(), d.rect.top(), d.rect.right(), d.rect.bottom()] for d in found]


def test_boxes_are_the_authors(detector, head, authors):
    faces = detector.detect(head)
    assert len(authors) == 1
    assert faces.boxes.tolist() == authors
    assert faces.boxes.dtype == faces.scores.dtype == np.float32
    assert faces.scores[0] >= detector.min_score_predict == 0.6
    x1, y1, x2, y2 = faces.boxes[0] + [140, 40, 140, 40]
    assert 150 < x1 < 200 < 250 < x2 < 300
    assert 50 < y1 < 100 < 140 < y2 < 190


def test_the_corrected_form_feeds_rgb_and_makes_edges_exclusive(head, authors):
    corrected = open_detector("dlib-corrected")
    assert corrected.kind is DetectorKind.DLIB_CORRECTED
    assert corrected.settings == {"upsample": 1, "corrected": True}
    assert corrected.min_score_predict == 0.6
    # On swapped colours it sees what the authors' does, and only the edges differ.
    swapped = corrected.detect(np.ascontiguousarray(head[:, :, ::-1]))
    np.testing.assert_array_equal(swapped.boxes - authors, [[0, 0, 1, 1]])


def test_a_small_blank_image_holds_no_face(detector):
    faces = detector.detect(np.zeros((40, 60, 3), np.uint8))
    assert faces.boxes.shape == (0, 4)
    assert faces.scores.shape == (0,)


def test_settings_tell_the_authors_form(detector):
    assert detector.kind is DetectorKind.DLIB
    assert detector.settings == {"upsample": 1, "corrected": False}


def test_a_working_size_is_refused_by_the_name_of_its_option():
    with pytest.raises(ConfigError, match="no --long-side") as refused:
        open_detector(DetectorKind.DLIB, long_side=640)
    assert "--long-side" in refused.value.remedy


def test_the_help_says_how_large_images_may_be():
    (option,) = DetectorOption.__metadata__
    width, height = re.search(r"(\d+)x(\d+)", option.help).groups()
    assert int(width) * int(height) == MAX_PIXELS


def test_what_is_no_image_is_refused(detector):
    with pytest.raises(DataError):
        detector.detect(np.zeros((20, 20), np.uint8))


def test_an_image_that_would_exhaust_the_memory_is_refused(detector):
    with pytest.raises(DataError, match="4000x3000 pixels is too large"):
        detector.detect(np.zeros((3000, 4000, 3), np.uint8))


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_package_names_the_extra(run_python, package):
    code = f"""
import sys
sys.modules[{package!r}] = None
from glamor_cli.errors import BackendUnavailable
from glamor_cli.vision.options import DetectorKind
from glamor_cli.vision.detectors import open_detector
try:
    open_detector(DetectorKind.DLIB)
except BackendUnavailable as error:
    print(error.remedy)
"""
    assert "--extra dlib" in run_python(code)


def test_a_damaged_network_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    half = tmp_path / "half.dat"
    half.write_bytes(dlib_faces.find_network().read_bytes()[:5000])
    monkeypatch.setattr(dlib_faces, "find_network", lambda: half)
    with pytest.raises(BackendUnavailable, match="cannot be opened") as failed:
        open_detector(DetectorKind.DLIB)
    assert "face-recognition-models" in failed.value.remedy


_DETECT_WITHOUT_MEMORY = """
import resource
import numpy as np
from glamor_cli.errors import DataError
from glamor_cli.vision.detectors import open_detector

detector = open_detector("dlib")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, resource.RLIM_INFINITY))
try:
    detector.detect(np.zeros((800, 800, 3), np.uint8))
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_an_image_that_memory_does_not_suffice_for_is_passed_over():
    """It ended the run of all images: what is raised of an image must be an error of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _DETECT_WITHOUT_MEMORY], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "dlib's detector fails at 800x800 pixels: std::bad_alloc",
        "Shrink the image, or choose the detector centerface.",
    ]
