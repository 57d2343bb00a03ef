"""The command as its users call it: every option does what it says, and a bad export is no file."""

import json
import platform
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from permissions import bound_by_permissions
from PIL import Image
from skimage.data import astronaut

from glamor_cli.__main__ import main
from glamor_cli.errors import BackendUnavailable
from glamor_cli.export.options import BatchRange, ExportConfig, ExportPrecision
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.exported import EXPORT_KEY
from glamor_cli.runtimes.options import Arithmetic
from glamor_cli.runtimes.sidecar import read_sidecar
from glamor_cli.runtimes.tensorrt_library import Target, load_library
from glamor_cli.system.onnx_providers import cuda_problem
from glamor_cli.vision.pairs import make_pair, round_box
from glamor_cli.weights.metadata import METADATA_KEY
from glamor_cli.weights.network_file import load_network, save_network

SMALL = ("--batch-opt", "1", "--batch-max", "2", "--threads", "1")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The command line in an empty folder: its exit code and what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["glamor", "export", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert said.out == "", "standard output belongs to machine-readable output"
        return ended.value.code or 0, said.err

    return call


def problem(target):
    """Say why a flavour of TensorRT cannot be used here; None if it can."""
    try:
        load_library(target)
    except BackendUnavailable as error:
        return error.what
    return None


needs_rtx = pytest.mark.skipif(problem(Target.RTX) is not None, reason=str(problem(Target.RTX)))


def describe(path):
    model = onnx.load(path)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    return model, json.loads(properties[EXPORT_KEY])


def test_float32_is_compared_on_a_store_with_labels(run, weights_file, scene_store):
    code, said = run("--weights", weights_file, "--verify", scene_store, *SMALL)
    assert code == 0, said
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines()]
    rows = {cells[0]: cells[1:] for cells in lines if cells}
    assert list(rows) == ["batch of 1", "batch of 2", "14 real pairs"]
    assert {tuple(rows[f"batch of {size}"][1:]) for size in (1, 2)} == {("", "")}
    assert all(float(cells[0]) <= 1e-5 for cells in rows.values())
    _, same, accuracy = rows["14 real pairs"]
    assert same == "100.00%"
    assert re.fullmatch(r"(\d+\.\d\d%) \(\1\)", accuracy)
    assert [path.name for path in Path().iterdir()] == ["varied.onnx"]


def test_openvino_may_differ_as_far_as_it_computes(run, weights_file, scene_store):
    """On CPUs that multiply bfloat16 themselves it does, and no graph would meet 1e-5 there."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    code, said = run(
        *("--weights", weights_file, "--provider", "openvino", "--verify", scene_store, *SMALL)
    )
    assert code == 0, said
    arithmetic = open_runtime(Path("varied.onnx"), provider="openvino").arithmetic
    atol = "0.05" if arithmetic is Arithmetic.BFLOAT16 else "1e-05"
    assert f"up to {atol} were allowed" in said


@pytest.mark.parametrize(
    ("machine", "atol"), [("x86_64", 5e-3), ("aarch64", 2e-2), ("arm64", 2e-2)]
)
def test_float16_may_differ_further_where_halves_are_added_up_and_float32_may_not(
    exported, monkeypatch, machine, atol
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    arithmetic = open_runtime(exported, device="cpu", threads=1).arithmetic
    assert ExportConfig(ExportPrecision.FP16).tolerance(arithmetic).atol == atol
    assert ExportConfig().tolerance(arithmetic).atol == 1e-5


def test_float16_is_half_the_size_and_may_differ_as_far_as_the_cpu_adds_halves_up(
    run, small_weights, monkeypatch
):
    """The usual batch, which is not given, follows the bounds."""
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    options = ("--batch-min", "10", "--batch-max", "11", "--threads", "1", "--device", "cpu")
    code, said = run("--weights", small_weights, "--precision", "fp16", *options)
    assert code == 0, said
    assert "up to 0.02 were allowed" in said
    assert {int(size) for size in re.findall(r"batch of (\d+)", said)} == {10, 11}
    assert "same emotion" not in said, "it was not compared on pairs"
    assert Path("small-fp16.onnx").stat().st_size < 0.55 * small_weights.stat().st_size
    graph = onnx.load("small-fp16.onnx").graph
    assert onnx.TensorProto.FLOAT16 in {value.data_type for value in graph.initializer}
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_float16_takes_opset_batches_and_provider(run, weights_file, scene_store):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    code, said = run(
        *("--weights", weights_file, "--precision", "fp16", "--opset", "18"),
        *("--batch-min", "2", "--batch-opt", "3", "--batch-max", "5", "--threads", "1"),
        *("--verify", scene_store, "--provider", "openvino", "--atol", "0.1"),
    )
    assert code == 0, said
    for size in (2, 3, 5):
        assert f"batch of {size}" in said
    assert "batch of 1" not in said
    assert "up to 0.1 were allowed" in said
    model, how = describe("varied-fp16.onnx")
    assert how["precision"] == "fp16"
    assert [entry.version for entry in model.opset_import if not entry.domain] == [18]


@pytest.mark.parametrize(("least", "usual", "most"), [(1, 4, 4), (10, 10, 11), (1, 8, 9)])
def test_the_usual_batch_follows_the_bounds_where_it_is_not_given(least, usual, most):
    assert BatchRange.within(least, None, most) == BatchRange(least, usual, most)


def test_int8_from_photograph_to_answer_in_a_triton_repository(
    run, weights_file, exported, scene_store
):
    code, said = run(
        *("--weights", weights_file, "--precision", "int8", "--calibrate", scene_store, *SMALL),
        *("--with-preprocessing", "--triton-repository", "models", "--output", "out/photo.onnx"),
    )
    assert code == 0, said
    _, how = describe("out/photo.onnx")
    # The whole training split, not the 14 pairs that exports are verified on.
    assert (how["precision"], how["int8_form"], how["calibration_pairs"]) == ("int8", "cpu", 21)
    folder = Path("models/varied")
    assert sorted(path.name for path in folder.iterdir()) == ["1", "config.pbtxt", "labels.txt"]
    served = onnxruntime.InferenceSession(
        folder / "1/model.onnx", providers=["CPUExecutionProvider"]
    )
    box = np.array([[170, 60, 280, 170]], np.float32)
    found = served.run(["probabilities"], {"image": astronaut(), "boxes": box})[0]
    # The float32 network on the same photograph.
    plain = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    pair = make_pair(astronaut(), round_box(box[0]))
    feeds = {"face": pair.face[None], "context": pair.context[None]}
    expected = plain.run(["probabilities"], feeds)[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.25)


def test_photographs_verify_too_and_one_bad_file_among_them_is_passed_over(run, weights_file):
    Path("photographs").mkdir()
    Image.fromarray(astronaut()).save("photographs/a.png")
    Path("photographs/b.png").write_bytes(b"no picture")
    network, metadata = load_network(weights_file)
    save_network(Path("half.safetensors"), network, metadata, half=True)
    # Rounded to float16 already, so nothing is lost; computed in float32.
    options = ("--verify", "photographs", "--half-storage", "--atol", "1e-6", *SMALL)
    code, said = run("--weights", "half.safetensors", *options)
    assert code == 0, said
    assert "1 real pairs" in said
    # Its name is its own.
    assert "half-half-storage.onnx: fp32 in half storage" in said
    assert not Path("half.onnx").exists()
    model, how = describe("half-half-storage.onnx")
    assert how["half_storage"] is True
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in model.graph.initializer}
    assert Path("half-half-storage.onnx").stat().st_size < 0.55 * weights_file.stat().st_size


def test_a_failed_check_leaves_nothing_but_the_old_file_and_tells_the_figures(run, small_weights):
    Path("w.onnx").write_bytes(b"the old one")
    options = ("--precision", "fp16", "--atol", "1e-9", "--output", "w.onnx", *SMALL)
    code, said = run("--weights", small_weights, *options)
    assert code == 6
    assert re.search(r"e-0\d at batch 1.*batch 2.*allowed: 1e-09", " ".join(said.split()))
    assert "--atol" in said.splitlines()[-1]
    assert Path("w.onnx").read_bytes() == b"the old one"
    assert list(Path().iterdir()) == [Path("w.onnx")]


def test_the_name_of_an_engines_sidecar_is_looked_at_before_the_work(run):
    Path("x.engine.json").mkdir()
    code, said = run("--weights", "missing", "--trt", "--output", "x.engine")
    assert code == 3
    assert "x.engine.json is a folder" in said


@needs_rtx
def test_rtx_engine_is_built_for_the_generations_asked_for(run, weights_file, scene_store):
    code, said = run(
        *("--weights", weights_file, "--precision", "int8", "--calibrate", scene_store),
        *("--trt", "--target", "rtx", "--gpu", "SM89", "--gpu", "SM120", "--workspace", "512"),
        *("--batch-min", "1", "--batch-opt", "2", "--batch-max", "3", "--threads", "1"),
    )
    assert code == 0, said
    assert "for SM89, SM120, batch 1 to 3" in " ".join(said.split())
    sidecar = read_sidecar(Path("varied-int8.engine"))
    assert sidecar.architectures == ("SM89", "SM120")
    assert sidecar.precision == "int8"
    assert (sidecar.batch_min, sidecar.batch_opt, sidecar.batch_max) == (1, 2, 3)
    names = sorted(path.name for path in Path().iterdir())
    assert names == ["varied-int8.engine", "varied-int8.engine.json"]


@needs_rtx
def test_an_engine_is_built_from_a_file_that_was_exported_before(run, weights_file):
    run("--weights", weights_file, "--precision", "fp16", *SMALL)
    exported = Path("varied-fp16.onnx").read_bytes()
    code, said = run("--weights", "varied-fp16.onnx", "--trt", "--target", "rtx", *SMALL)
    assert code == 0, said
    assert "compared when the ONNX file was exported" in " ".join(said.split())
    assert read_sidecar(Path("varied-fp16.engine")).precision == "fp16"
    assert Path("varied-fp16.onnx").read_bytes() == exported


def test_preprocessing_goes_in_front_of_a_file_that_was_exported_before(run, exported, graph):
    code, said = run(
        *("--weights", exported, "--with-preprocessing", "--triton-repository", "models")
    )
    assert code == 0, said
    assert Path("varied-image.onnx").read_bytes() == graph.read_bytes()
    assert Path("models/varied/1/model.onnx").read_bytes() == graph.read_bytes()


@pytest.fixture(scope="session")
def forms(exported, graph):
    """Files that were exported before, by what is particular about them, as they say it."""
    folder = exported.parent
    model, how = describe(exported)
    (described,) = (each.value for each in model.metadata_props if each.key == METADATA_KEY)
    for name, particular in (
        ("int8", {"precision": "int8", "int8_form": "cpu"}),
        ("small", {"half_storage": True}),
    ):
        said = {METADATA_KEY: described, EXPORT_KEY: json.dumps(how | particular)}
        onnx.helper.set_model_props(model, said)
        onnx.save(model, folder / f"{name}.onnx")
    silent = onnx.load(exported)
    onnx.helper.set_model_props(silent, {METADATA_KEY: described})
    onnx.save(silent, folder / "silent.onnx")
    (folder / "built.engine").write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("name", "options", "code", "says"),
    [
        ("varied.onnx", (), 3, "Add --trt or --with-preprocessing"),
        (
            "varied.onnx",
            ("--with-preprocessing", "--precision", "fp16"),
            3,
            "Leave --precision out",
        ),
        ("varied.onnx", ("--with-preprocessing", "--verify", "x"), 3, "Leave --verify out"),
        ("varied.onnx", ("--with-preprocessing", "--batch-max", "3"), 3, "--batch-max out"),
        ("varied-image.onnx", ("--with-preprocessing",), 5, "holds the preprocessing"),
        ("silent.onnx", ("--with-preprocessing",), 5, "does not say how it was exported"),
        ("built.engine", (), 3, "is an engine already"),
        pytest.param(
            *("int8.onnx", ("--trt", "--target", "rtx"), 3, "with --int8-form tensorrt"),
            marks=needs_rtx,
        ),
        pytest.param(
            *("small.onnx", ("--trt", "--target", "rtx"), 3, "without --half-storage"),
            marks=needs_rtx,
        ),
    ],
)
def test_exported_files_that_cannot_be_built_on_are_refused(run, forms, name, options, code, says):
    found, said = run("--weights", forms / name, *options)
    assert found == code, said
    assert says in " ".join(said.split())
    assert list(Path().iterdir()) == []


TENSORRT_INT8 = ("--precision", "int8", "--int8-form", "tensorrt", "--calibrate", "x")
REFUSED = [
    (("--opset", "12"), 3, "opset 12"),
    (("--precision", "int8"), 3, "INT8 needs images"),
    (("--batch-min", "4", "--batch-opt", "2"), 3, "not 1 or more in ascending order"),
    (("--atol", "0"), 3, "tolerance"),
    (("--gpu", "SM89"), 3, "are for engines"),
    (("--timing-cache", "x"), 3, "are for engines"),
    (("--workspace", "0"), 3, "are for engines"),
    (("--trt", "--with-preprocessing"), 3, "preprocessing goes into ONNX files only"),
    (("--trt", "--half-storage"), 3, "half storage is for ONNX files only"),
    (("--output", "x.pt"), 3, "does not end in .onnx"),
    (("--output", "x.engine"), 3, "or --trt to build an engine"),
    (("--verify", "nowhere"), 4, "nowhere"),
    (("--calibrate", "nowhere", "--precision", "int8"), 4, "nowhere"),
    (("--provider", "openvino", "--device", "cuda"), 3, "runs on cpu, not on cuda"),
    ((*TENSORRT_INT8, "--provider", "openvino"), 3, "is verified on the CPU"),
    ((*TENSORRT_INT8, "--device", "cuda"), 3, "is verified on the CPU"),
    (("--trt", *TENSORRT_INT8[:2], "--provider", "openvino"), 3, "is verified on the CPU"),
    (("--batch-max", str(2**31)), 3, "no engine takes a batch of 2147483648"),
    (("--provider", "TensorrtExecutionProvider"), 2, "openvino"),
    (("--threads", "0"), 2, "threads"),
    (
        ("--trt", "--triton-repository", "models", "--batch-min", "2", "--batch-opt", "2"),
        3,
        "at least 2",
    ),
]
REFUSED_BY_RTX = [
    (("--gpu", "SM90"), 3, "does not build for SM90"),
    (("--timing-cache", "cache"), 3, "no timing cache"),
    (("--workspace", "0"), 3, "workspace"),
    (("--workspace", "99999999999999"), 3, "no GPU has a workspace of 99999999999999 MiB"),
    (("--triton-repository", "models"), 3, "not of TensorRT-RTX"),
    (("--output", "x.onnx"), 3, "does not end in .engine"),
]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        *REFUSED,
        *(
            pytest.param(
                ("--trt", "--target", "rtx", *options),
                code,
                says,
                marks=needs_rtx,
            )
            for options, code, says in REFUSED_BY_RTX
        ),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(run, weights_file, options, code, says):
    found, said = run("--weights", weights_file, *SMALL, *options)
    assert found == code, said
    assert says in said
    assert "Traceback" not in said
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(problem(Target.TRT) is None, reason="TensorRT can be used here")
def test_tensorrt_that_is_not_installed_is_found_before_the_slow_part(run, weights_file):
    code, said = run("--weights", weights_file, "--trt", "--target", "trt")
    assert code == 7
    assert "TensorRT is not installed" in said or "does not load" in said
    assert "--extra trt" in said


@pytest.mark.skipif(cuda_problem() is None, reason="ONNX Runtime can use CUDA here")
def test_a_provider_that_does_not_load_is_never_the_cpu(run, weights_file):
    options = ("--provider", "CUDAExecutionProvider", "--verify", "nowhere")
    code, said = run("--weights", weights_file, *options, *SMALL)
    # It is found out before anything else is looked for.
    assert code == 7
    assert cuda_problem() in " ".join(said.split())
    assert list(Path().iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_an_error(run, weights_file):
    Path("locked").mkdir(mode=0o500)
    with bound_by_permissions():
        code, said = run("--weights", weights_file, "--output", "locked/x.onnx", *SMALL)
    assert code == 3, said
    assert "locked" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--calibrate", "photographs"), "are for --precision int8 only"),
        (("--int8-form", "cpu"), "are for --precision int8 only"),
        (("--trt", "--precision", "int8", "--int8-form", "cpu"), "cannot build from the INT8 form"),
    ],
)
def test_options_without_effect_are_refused(run, options, says):
    code, said = run(*options)
    assert code == 3
    assert says in said
