"""The graph from photograph to answer must be our pipeline, or other programs get other answers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image
from skimage.data import astronaut

from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.export.with_preprocessing import add_preprocessing, with_preprocessing
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.vision.pairs import make_pair, round_box

REPOSITORY = Path(__file__).resolve().parents[2]
JAVASCRIPT = REPOSITORY / "examples/javascript"
NAMES = ["probabilities", "attention", "stream_weights"]
ON_ASTRONAUT = ["170,60,280,170", "172.5,63.5,270.5,165.5", "0,0,0,0", "-40,-30,700,90"]
OUTSIDE = ["600,600,700,700", "90,20,90,80"]


def make_passing_network():
    """A "network" whose answers are its inputs, so that every sampled value can be compared."""
    nodes = [
        helper.make_node("Flatten", ["face"], ["probabilities"]),
        helper.make_node("Reshape", ["context", "rows"], ["attention"]),
        helper.make_node("Flatten", ["context"], ["stream_weights"]),
    ]
    inputs = [
        helper.make_tensor_value_info("face", TensorProto.FLOAT, ["batch", 3, 96, 96]),
        helper.make_tensor_value_info("context", TensorProto.FLOAT, ["batch", 3, 112, 112]),
    ]
    shapes = [["batch", 3 * 96 * 96], ["batch", 3 * 112, 112], ["batch", 3 * 112 * 112]]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(NAMES, shapes, strict=True)
    ]
    rows = helper.make_tensor("rows", TensorProto.INT64, [3], [-1, 3 * 112, 112])
    graph = helper.make_graph(nodes, "passing", inputs, outputs, [rows])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="module")
def sampler():
    model = with_preprocessing(make_passing_network()).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("height", "width"), [(512, 512), (3, 700), (97, 5), (1, 1), (720, 1281)])
def test_graph_samples_what_our_pipeline_samples(sampler, height, width):
    random = np.random.default_rng(height)
    image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
    corners = random.uniform(-0.3, 1, (15, 2)) * [width, height]
    sizes = random.uniform(0.01, 1.5, (15, 2)) * [width, height]
    drawn = np.concatenate((corners, corners + sizes), axis=1)
    halves = np.round(drawn * 2) / 2  # half of them are halves, which round to even
    boxes = np.concatenate((drawn, halves, [[0, 0, 0, 0], [0, 0, width, height]]))
    boxes = boxes.astype(np.float32)
    faces, contexts, _ = sampler.run(NAMES, {"image": image, "boxes": boxes})
    compared = 0
    for box, face, context in zip(boxes, faces, contexts, strict=True):
        try:
            pair = make_pair(image, round_box(box))
        except DataError:
            assert np.isnan(face).all()
            assert np.isnan(context).all()
            continue
        np.testing.assert_allclose(face, pair.face.ravel(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(context, pair.context.reshape(-1, 112), rtol=0, atol=1e-6)
        compared += 1
    assert compared >= 2


def test_no_boxes_give_no_answers(sampler):
    image = np.zeros((20, 30, 3), np.uint8)
    answers = sampler.run(NAMES, {"image": image, "boxes": np.zeros((0, 4), np.float32)})
    assert [len(answer) for answer in answers] == [0, 0, 0]


@pytest.mark.parametrize(
    "box",
    [(np.nan, 1, 20, 15), (2, 1, np.inf, 15), (100, 100, 200, 200), (9, 2, 9, 8), (9, 2, 3, 8)],
)
def test_a_box_that_means_nothing_spoils_only_its_own_answer(sampler, box):
    image = np.full((20, 30, 3), 200, np.uint8)
    boxes = np.array([box, (2, 3, 12, 13)], np.float32)
    faces, contexts, _ = sampler.run(NAMES, {"image": image, "boxes": boxes})
    assert np.isnan(faces[0]).all()
    assert np.isnan(contexts[0]).all()
    np.testing.assert_allclose(faces[1], 200 / 255, atol=1e-6)


def test_a_box_beyond_the_upper_left_corner_means_no_face_as_the_graph_says(sampler):
    """The authors' rule, which `clip_box` has too: 0, 0, 0, 0 is what clipping makes of it."""
    image = np.full((20, 30, 3), 200, np.uint8)
    boxes = np.array([(-5, -5, -1, -1), (0, 0, 0, 0), (31, -5, 40, -1)], np.float32)
    faces, contexts, _ = sampler.run(NAMES, {"image": image, "boxes": boxes})
    assert not faces[0].any()
    np.testing.assert_array_equal(contexts[0], contexts[1])
    assert np.isnan(faces[2]).all()
    said = json.loads(sampler.get_modelmeta().custom_metadata_map["glamor_inputs"])["boxes"]
    assert "a box beyond its upper left corner; any other box" in said


def test_written_graph_answers_as_the_network_and_keeps_its_metadata(exported, graph):
    image = astronaut()
    boxes = np.array([box.split(",") for box in ON_ASTRONAUT], np.float32)
    pairs = [make_pair(image, round_box(box)) for box in boxes]
    runtime = OnnxRuntime(exported, device="cpu")
    expected = runtime(
        np.stack([pair.face for pair in pairs]), np.stack([pair.context for pair in pairs])
    )
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    found = session.run(NAMES, {"image": image, "boxes": boxes})
    for name, value in zip(NAMES, found, strict=True):
        np.testing.assert_allclose(value, getattr(expected, name), rtol=0, atol=1e-4)
    properties = session.get_modelmeta().custom_metadata_map
    assert json.loads(properties["glamor"])["classes"] == list(runtime.metadata.classes)
    assert "RGB" in json.loads(properties["glamor_inputs"])["image"]


def test_graph_that_is_not_an_exported_network_is_refused(tmp_path, exported, graph):
    foreign = tmp_path / "foreign.onnx"
    onnx.save(make_identity(), foreign)
    (tmp_path / "text.onnx").write_text("no graph")
    for source in (foreign, tmp_path / "text.onnx", graph):
        with pytest.raises(CheckpointError):
            add_preprocessing(source, tmp_path / "out.onnx")
    with pytest.raises(ConfigError, match="number of threads"):
        add_preprocessing(exported, tmp_path / "out.onnx", threads=0)
    assert not list(tmp_path.glob("*out*"))


def make_identity():
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def run_example(command, graph, folder):
    photo = folder / "photo.png"
    Image.fromarray(astronaut()).save(photo)
    done = subprocess.run(
        [*command, str(graph), str(photo), *ON_ASTRONAUT, *OUTSIDE],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    for box in reversed(OUTSIDE):
        assert rows.pop() == {
            "box": [float(side) for side in box.split(",")],
            "emotion": None,
            "reason": "nothing of this box is inside the picture",
        }
    boxes = np.array([box.split(",") for box in ON_ASTRONAUT], np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    expected, _, weights = session.run(NAMES, {"image": astronaut(), "boxes": boxes})
    for row, probabilities, weight in zip(rows, expected, weights, strict=True):
        np.testing.assert_allclose(list(row["probabilities"].values()), probabilities, atol=1e-4)
        assert row["emotion"] == list(row["probabilities"])[int(probabilities.argmax())]
        assert row["face_weight"] == pytest.approx(weight[0], abs=1e-4)


def test_python_example_gives_the_answers(graph, tmp_path):
    run_example([sys.executable, str(REPOSITORY / "examples/python/predict.py")], graph, tmp_path)


WITHOUT_PACKAGES = pytest.mark.skipif(
    not (JAVASCRIPT / "node_modules/onnxruntime-web").is_dir(),
    reason="the packages of examples/javascript are not installed (npm install)",
)


@WITHOUT_PACKAGES
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_javascript_example_gives_the_answers(graph, tmp_path):
    run_example(["node", str(JAVASCRIPT / "predict.js")], graph, tmp_path)


each_example = pytest.mark.parametrize(
    "example",
    [
        [sys.executable, str(REPOSITORY / "examples/python/predict.py")],
        pytest.param(["node", str(JAVASCRIPT / "predict.js")], marks=WITHOUT_PACKAGES),
    ],
    ids=["python", "javascript"],
)


@each_example
def test_examples_read_classes_of_any_name(example, graph, tmp_path):
    names = ["Anger [1]", 'so "sad"', "a\\", "\u6012\u308a", "], [", "Fear, or not", "Neutral"]
    model = onnx.load(graph)
    (told,) = (entry for entry in model.metadata_props if entry.key == "glamor")
    told.value = json.dumps(json.loads(told.value) | {"classes": names}, sort_keys=True)
    onnx.save(model, tmp_path / "named.onnx")
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    command = [*example, str(tmp_path / "named.onnx"), str(tmp_path / "photo.png"), *ON_ASTRONAUT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        assert list(json.loads(line)["probabilities"]) == names


@each_example
def test_examples_say_what_is_wrong(example, graph, exported, tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    for model, boxes, said in (
        (graph, [], "usage"),
        (graph, ["1,2,3"], "four finite numbers"),
        (graph, ["1,2,nan,4"], "four finite numbers"),
        (graph, ["1,2,3,4", "1,2,3px,4"], "four finite numbers"),
        (exported, ["1,2,30,40"], "--with-preprocessing"),
    ):
        command = [*example, str(model), str(tmp_path / "photo.png"), *boxes]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 1
        assert said in done.stderr and "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
