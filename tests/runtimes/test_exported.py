"""Exported files must be told from others, whatever is wrong with them, by one rule for all."""

import json

import onnx
import pytest
from onnx import TensorProto, helper

from glamor_cli.errors import BackendUnavailable, CheckpointError
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.exported import EXPORT_KEY, read_exported, unreadable
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES
from glamor_cli.weights.metadata import METADATA_KEY, Metadata

OURS = {METADATA_KEY: Metadata("named").to_json(), EXPORT_KEY: json.dumps({"precision": "fp16"})}


def write(path, properties, inputs=INPUT_NAMES, outputs=OUTPUT_NAMES):
    """Write a graph of which only the names matter."""
    given, answered = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in names]
        for names in (inputs, outputs)
    )
    nodes = [helper.make_node("Identity", [inputs[0]], [name]) for name in outputs]
    model = helper.make_model(helper.make_graph(nodes, "graph", given, answered))
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


def test_a_file_says_whose_it_is_and_in_what_it_computes(tmp_path):
    exported = read_exported(write(tmp_path / "x.onnx", OURS, outputs=(*OUTPUT_NAMES, "more")))
    assert exported.metadata == Metadata("named")
    assert exported.precision == "fp16"
    exported.require_network()


def test_what_is_said_of_an_endless_name_has_an_end(tmp_path):
    """Looking through 20,000 slashes takes seconds, and four times as long for twice as many."""
    name, path = "/" * 20_000, tmp_path / "x.onnx"
    write(path, OURS, outputs=(*OUTPUT_NAMES, name))
    model = onnx.load(path)
    model.ir_version, model.opset_import[0].version = 10, 20
    model.graph.node[-1].input[0] = name * 2
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="cannot be read as ONNX") as refused:
        open_runtime(path, device="cpu")
    assert len(refused.value.what) < 10_000


def test_a_graph_with_preprocessing_is_ours_but_no_network(tmp_path):
    exported = read_exported(write(tmp_path / "x.onnx", OURS, inputs=("image", "boxes")))
    assert exported.inputs == ("image", "boxes")
    with pytest.raises(CheckpointError, match="takes image, boxes") as refused:
        exported.require_network()
    assert "holds the preprocessing" in refused.value.what
    assert "without --with-preprocessing" in refused.value.remedy


@pytest.mark.parametrize(
    "place", ["/onnxruntime_src/core/graph/", "D:\\a\\_work\\1\\s\\onnxruntime\\core\\graph\\", ""]
)
@pytest.mark.parametrize(
    "before", ["", "[ONNXRuntimeError] : 1 : FAIL : Load model from x failed:"]
)
def test_onnx_runtimes_places_in_its_source_are_left_out(place, before):
    where = (
        f"{place}model.cc:149 onnxruntime::Model::Model(ModelProto&&, const Path&) "
        if place
        else ""
    )
    error = unreadable("x.onnx", RuntimeError(f"{before}{where}Missing opset (13) in the model."))
    assert error.what == f"x.onnx cannot be read as ONNX ({before}Missing opset (13) in the model.)"


def test_a_graph_without_its_opset_is_refused_without_places_in_a_source(tmp_path):
    model = onnx.load(write(tmp_path / "x.onnx", OURS))
    del model.opset_import[:]
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match="Missing opset") as refused:
        open_runtime(tmp_path / "x.onnx", device="cpu")
    assert ".cc:" not in refused.value.what
    assert "onnxruntime::" not in refused.value.what


@pytest.mark.parametrize("how", [None, "{", "[]", "{}"])
def test_without_a_readable_precision_it_is_still_ours(tmp_path, how):
    properties = {METADATA_KEY: OURS[METADATA_KEY]} | ({} if how is None else {EXPORT_KEY: how})
    assert read_exported(write(tmp_path / "x.onnx", properties)).precision == ""


def test_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="not exported by glamor"):
        read_exported(write(tmp_path / "foreign.onnx", {"maker": "another"}))
    with pytest.raises(CheckpointError, match="metadata that glamor cannot read"):
        read_exported(write(tmp_path / "odd.onnx", {METADATA_KEY: "{}"}))
    (tmp_path / "text.onnx").write_text("no graph")
    for name in ("text.onnx", "missing.onnx"):
        with pytest.raises(CheckpointError, match="cannot be read as ONNX"):
            read_exported(tmp_path / name)
    newer = onnx.load(write(tmp_path / "newer.onnx", OURS))
    newer.ir_version = 99
    onnx.save(newer, tmp_path / "newer.onnx")
    with pytest.raises(CheckpointError, match="needs a newer ONNX Runtime") as refused:
        open_runtime(tmp_path / "newer.onnx")
    assert "Update onnxruntime" in refused.value.remedy
    whole = write(tmp_path / "x.onnx", OURS).read_bytes()
    for text, damaged in ((b'"named"', b'"nam\xa0d"'), (b"context", b"cont\xa0xt")):
        (tmp_path / "bytes.onnx").write_bytes(whole.replace(text, damaged))
        with pytest.raises(CheckpointError, match="not UTF-8"):
            read_exported(tmp_path / "bytes.onnx")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : std::bad_alloc")],
)
def test_a_lack_of_memory_is_not_blamed_on_the_file(error):
    """As C++ words it: nobody is to export files anew that are fine."""
    told = unreadable("network.onnx", error)
    assert isinstance(told, BackendUnavailable)
    assert told.what == "there is not enough memory to open network.onnx"


def test_a_limit_of_threads_is_not_called_a_damaged_file():
    """ONNX Runtime starts some as it opens a file, and says so with its own source's names."""
    said = "env.cc:327 PosixThread(const char*, int) pthread_create failed, error code: 11"
    told = unreadable("network.onnx", RuntimeError(said))
    assert isinstance(told, BackendUnavailable)
    assert "no more threads" in told.what
