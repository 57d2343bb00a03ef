"""An export that is not the network's answer in a file that others can read must not exist."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
import torch
from PIL import Image
from waiting import wait_until

from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.errors import CheckpointError, ConfigError, DataError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig, ExportPrecision, Int8Form
from glamor_cli.export.pairs import load_pairs, random_pairs
from glamor_cli.labels import EMOTIONS
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.exported import EXPORT_KEY
from glamor_cli.runtimes.interface import max_abs_diff
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.pairs import make_pair, round_box
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

SMALL = BatchRange(1, 2, 3)


def write_weights(path: Path, config: NetworkConfig) -> Path:
    torch.manual_seed(0)
    network = GlamorNet(config).eval()
    torch.nn.init.normal_(network.classifier.logits.weight, 0, 1)
    save_network(path, network, Metadata("fresh", network=config, temperature=0.5))
    return path


@contextmanager
def replaced_meanwhile(weights: Path, out: Path) -> Iterator[Path]:
    """Lend a copy of weights that is another file once ``out`` is written, as trainings do it."""
    copy, over = weights.with_name("best.safetensors"), threading.Event()
    shutil.copyfile(weights, copy)
    other = write_weights(weights.with_name("newer.safetensors"), NetworkConfig())

    def replace() -> None:
        wait_until(lambda: any(out.parent.glob(f".{out.stem}-*")) or over.is_set())
        other.replace(copy)

    training = threading.Thread(target=replace)
    training.start()
    try:
        yield copy
    finally:
        over.set()
        training.join()


@pytest.mark.parametrize(
    ("encoder", "variant"),
    [
        *((Encoder.ORIGINAL, variant) for variant in Variant if variant is not Variant.FULL),
        (Encoder.RESNET18, Variant.FULL),
    ],
)
def test_every_network_gives_its_answers_from_onnx(
    tmp_path: Path, encoder: Encoder, variant: Variant
) -> None:
    # The whole original network is what the other tests export.
    config = NetworkConfig(encoder=encoder, variant=variant)
    weights = write_weights(tmp_path / "w.safetensors", config)
    with replaced_meanwhile(weights, tmp_path / "w.onnx") as copy:
        report = export_onnx(copy, tmp_path / "w.onnx", ExportConfig(batch=SMALL))
    assert [check.batch for check in report.batches] == [1, 2, 3]
    assert max(check.max_abs_diff for check in report.batches) <= 1e-5

    sample = random_pairs(5, seed=7)
    ours = open_runtime(tmp_path / "w.onnx", device="cpu")(sample.face, sample.context)
    theirs = open_runtime(weights, device="cpu")(sample.face, sample.context)
    assert ours.probabilities.shape == (5, 7)
    assert max_abs_diff(ours, theirs) <= 1e-5


def test_the_file_says_what_it_is_and_not_where_it_was_made(
    exported: Path, weights_file: Path
) -> None:
    model = onnx.load(exported)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    _, metadata = load_network(weights_file)
    assert open_runtime(exported, device="cpu").metadata == metadata
    how = json.loads(properties[EXPORT_KEY])
    assert how["precision"] == "fp32"
    assert how["opset"] == 20
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]
    assert [value.name for value in model.graph.input] == ["face", "context"]
    assert [value.name for value in model.graph.output] == [
        "probabilities",
        "attention",
        "stream_weights",
    ]
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        assert axes[0].dim_param == "batch"
        assert all(axis.dim_value > 0 for axis in axes[1:])
    # The exporter's own notes on each node name the source files of this machine.
    data = exported.read_bytes()
    assert b"site-packages" not in data
    assert str(Path(onnx.__file__).parents[1]).encode() not in data
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize("form", list(Int8Form))
def test_int8_is_calibrated_and_judged_on_a_store(
    weights_file: Path, exported: Path, scene_store: Path, tmp_path: Path, form: Int8Form
) -> None:
    out = tmp_path / "int8.onnx"
    config = ExportConfig(
        ExportPrecision.INT8, batch=SMALL, verify=scene_store, int8_form=form, calibration_pairs=12
    )
    report = export_onnx(weights_file, out, config)
    assert out.stat().st_size < 0.4 * exported.stat().st_size
    agreement = report.agreement
    assert agreement is not None
    assert agreement.pairs == 14
    assert 0 < agreement.max_abs_diff <= 0.25
    assert agreement.accuracy is not None
    model = onnx.load(out)
    (how,) = (entry.value for entry in model.metadata_props if entry.key == EXPORT_KEY)
    assert json.loads(how)["int8_form"] == form
    zero_points = {
        onnx.TensorProto.DataType.Name(tensor.data_type)
        for tensor in model.graph.initializer
        if tensor.name.endswith("_zero_point")
    }
    quantized_to = {
        onnx.TensorProto.DataType.Name(tensor.data_type)
        for tensor in model.graph.initializer
        if tensor.name.endswith("_quantized")
    }
    if form is Int8Form.TENSORRT:
        assert zero_points == {"INT8"}
        assert quantized_to == {"INT8"}
    else:
        assert "UINT8" in zero_points
        # Biases are quantised too, and weights keep to seven bits.
        assert quantized_to == {"INT8", "INT32"}
        for tensor in model.graph.initializer:
            if tensor.name.endswith("weight_quantized"):
                assert np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max() <= 64


def test_a_few_pairs_are_of_the_whole_split(scene_store: Path) -> None:
    """Its classes lie one after another: the first pairs would calibrate for one of them."""
    few = load_pairs(scene_store, 3, EMOTIONS, calibration=True)
    split = PairStore.open(scene_store).split("train")
    for ours, theirs in zip((few.face, few.context), split.pairs([0, 10, 20]), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(few.labels, split.labels[[0, 10, 20]])
    # Labels of other classes mean something else.
    assert load_pairs(scene_store, 3, EMOTIONS[::-1]).labels is None


def test_of_photographs_the_first_with_a_face_are_taken(tmp_path: Path) -> None:
    person = skimage.data.astronaut()
    for name, pixels in (("a", person[:100, :100]), ("b", person), ("c", person[:, ::-1])):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    assert len(load_pairs(tmp_path, 5, EMOTIONS)) == 2
    first = load_pairs(tmp_path, 1, EMOTIONS)
    expected = make_pair(person, round_box(open_detector().detect(person).boxes[0]))
    np.testing.assert_array_equal(first.face, expected.face[None])
    np.testing.assert_array_equal(first.context, expected.context[None])
    with pytest.raises(DataError, match="no face was found"):
        load_pairs(tmp_path / "a.png", 5, EMOTIONS)


def test_what_is_no_picture_is_not_said_to_lack_a_face(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    for source in (tmp_path / "a.jpg", tmp_path):
        with pytest.raises(DataError, match=r"a\.jpg is not an image of a known kind"):
            load_pairs(source, 5, EMOTIONS)
    # Beside one that can be read, it is passed over.
    Image.new("RGB", (64, 64)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="no face was found"):
        load_pairs(tmp_path, 5, EMOTIONS)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"opset": 12}, "opset 12"),
        ({"precision": ExportPrecision.INT8}, "INT8 needs images"),
        (
            {"precision": ExportPrecision.INT8, "opset": 21, "verify": Path("x")},
            "INT8 cannot be made from opset 21",
        ),
        ({"precision": ExportPrecision.FP16, "half_storage": True}, "half storage"),
        ({"atol": 0.0}, "tolerance"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ExportConfig(**settings)
    with pytest.raises(ConfigError, match="not 1 or more in ascending order"):
        BatchRange(4, 2, 8)


def test_an_unheard_of_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no weights named"):
        export_onnx("unheard-of", tmp_path / "x.onnx")


def test_wrong_files_are_refused(weights_file: Path, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not a \.safetensors file"):
        export_onnx(exported, tmp_path / "x.onnx")
    with pytest.raises(ConfigError, match=r"does not end in \.onnx"):
        export_onnx(weights_file, tmp_path / "x.pt")
    truncated = tmp_path / "t.safetensors"
    truncated.write_bytes(weights_file.read_bytes()[:1000])
    with pytest.raises(CheckpointError):
        export_onnx(truncated, tmp_path / "x.onnx")
    empty = tmp_path / "nothing"
    empty.mkdir()
    with pytest.raises(DataError):
        export_onnx(weights_file, tmp_path / "x.onnx", ExportConfig(verify=empty))
    with pytest.raises(DataError, match="too long"):
        load_pairs(Path("x" * 300), 1, EMOTIONS)
    assert not (tmp_path / "x.onnx").exists()


def test_a_registered_name_is_exported_also_where_tensors_are_of_another_kind(
    tmp_path: Path,
) -> None:
    name = Path(DEFAULT_WEIGHTS)  # as a command line gives it
    torch.set_default_dtype(torch.float64)
    try:
        report = export_onnx(name, str(tmp_path / "w.onnx"), ExportConfig(batch=SMALL))
    finally:
        torch.set_default_dtype(torch.float32)
    assert open_runtime(report.path, device="cpu").metadata.name == DEFAULT_WEIGHTS
    assert max(check.max_abs_diff for check in report.batches) <= 1e-5
