"""The repository must be what the server's own schema takes, and name what the files hold."""

import importlib.util
import json
from pathlib import Path

import onnxruntime
import pytest

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.artefacts import ArtefactConfig, export_artefacts
from glamor_cli.export.options import BatchRange
from glamor_cli.export.triton_repository import write_triton_repository
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.sidecar import Sidecar, sidecar_path, this_platform
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.weights.metadata import Metadata

TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8"}


@pytest.fixture(scope="module")
def schema():
    """Triton's published schema; its package wants gRPC, its file alone does not."""
    spec = importlib.util.find_spec("tritonclient")
    if spec is None:
        pytest.skip("tritonclient is not installed")
    path = Path(spec.submodule_search_locations[0]) / "grpc/model_config_pb2.py"
    loaded = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    return module


def read_config(schema, folder):
    from google.protobuf import text_format

    return text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def check_against_the_model(schema, config, model, batched):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for described, true in (
        (config.input, session.get_inputs()),
        (config.output, session.get_outputs()),
    ):
        assert [tensor.name for tensor in described] == [value.name for value in true]
        for tensor, value in zip(described, true, strict=True):
            shape = [-1 if isinstance(axis, str) else axis for axis in value.shape]
            assert list(tensor.dims) == (shape[1:] if batched else shape)
            assert schema.DataType.Name(tensor.data_type) == TYPES[value.type]


def test_exported_network_is_served_with_dynamic_batches(schema, exported, tmp_path):
    folder = write_triton_repository(exported, tmp_path / "models", BatchRange(1, 4, 16))
    config = read_config(schema, folder)
    assert folder == tmp_path / "models/varied"
    assert config.name == folder.name
    assert config.backend == "onnxruntime"
    assert config.max_batch_size == 16
    assert list(config.dynamic_batching.preferred_batch_size) == [4]
    model = folder / "1" / config.default_model_filename
    assert model.read_bytes() == exported.read_bytes()
    check_against_the_model(schema, config, model, batched=True)
    labels = (folder / config.output[0].label_filename).read_text().splitlines()
    properties = onnxruntime.InferenceSession(model).get_modelmeta().custom_metadata_map
    assert labels == json.loads(properties["glamor"])["classes"]


def test_graph_with_preprocessing_takes_an_image_a_request(schema, graph, tmp_path):
    folder = write_triton_repository(graph, tmp_path)
    config = read_config(schema, folder)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    check_against_the_model(schema, config, folder / "1/model.onnx", batched=False)


def make_engine(path, target, name="served"):
    """Not an engine, but all that the repository reads of one: its bytes and its sidecar."""
    path.write_bytes(b"engine")
    version, built_for = "11.4.0", ("SM90",)
    metadata = Metadata(name)
    here = this_platform()
    checksum = sha256(path)
    sidecar = Sidecar(target, version, here, built_for, "", "fp16", 1, 8, 32, checksum, metadata)
    sidecar.write(sidecar_path(path))
    return path


def test_engine_brings_its_own_batches(schema, tmp_path):
    engine = make_engine(tmp_path / "x.engine", Target.TRT)
    config = read_config(schema, write_triton_repository(engine, tmp_path / "models"))
    assert config.backend == "tensorrt"
    assert config.max_batch_size == 32
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    assert (tmp_path / "models/served/1/model.plan").read_bytes() == b"engine"
    assert list(config.output[1].dims) == [7, 7]


def test_name_of_the_weights_never_leaves_the_repository(schema, tmp_path):
    engine = make_engine(tmp_path / "x.engine", Target.TRT, "../my weights")
    folder = write_triton_repository(engine, tmp_path / "models")
    assert folder.parent == tmp_path / "models"
    assert read_config(schema, folder).name == folder.name


def test_what_triton_cannot_serve_is_refused(exported, tmp_path):
    engine = make_engine(tmp_path / "x.engine", Target.RTX)
    with pytest.raises(ConfigError, match="not of TensorRT-RTX"):
        write_triton_repository(engine, tmp_path / "models")
    sidecar_path(engine).unlink()
    with pytest.raises(CheckpointError):
        write_triton_repository(engine, tmp_path / "models")
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(CheckpointError):
        write_triton_repository(tmp_path / "text.onnx", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_written_again_it_replaces_the_model_and_leaves_others_alone(schema, exported, tmp_path):
    other = tmp_path / "other/1/model.onnx"
    other.parent.mkdir(parents=True)
    other.write_text("other")
    for largest in (8, 32):
        folder = write_triton_repository(exported, tmp_path, BatchRange(1, 8, largest))
        assert read_config(schema, folder).max_batch_size == largest
    assert other.read_text() == "other"
    assert sorted(path.name for path in folder.iterdir()) == ["1", "config.pbtxt", "labels.txt"]


def test_no_model_is_replaced_by_one_that_is_asked_otherwise(
    exported, graph, weights_file, tmp_path
):
    """Its clients would fail, and its file be lost; found out before the export, too."""
    folder = write_triton_repository(exported, tmp_path / "models")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    config = ArtefactConfig(with_preprocessing=True, triton_repository=tmp_path / "models")
    for write in (
        lambda: write_triton_repository(graph, tmp_path / "models"),
        lambda: export_artefacts(weights_file, tmp_path / "x.onnx", config),
    ):
        with pytest.raises(ConfigError, match=r"config\.pbtxt is of a model with other") as refused:
            write()
        assert str(folder) in refused.value.remedy
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (tmp_path / "x.onnx").exists()
    # How it is laid out does not matter, nor in what the network computes.
    configuration = folder / "config.pbtxt"
    configuration.write_text(configuration.read_text().replace("\n", "\n\n\t"))
    engine = make_engine(tmp_path / "x.engine", Target.TRT, "varied")
    write_triton_repository(engine, tmp_path / "models")
    assert 'backend: "tensorrt"' in configuration.read_text()
