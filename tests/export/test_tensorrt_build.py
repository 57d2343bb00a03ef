"""Engines: built for what was asked, described truly, and refused where they cannot run."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import struct
import sys
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from glamor_cli.cli.app import app
from glamor_cli.errors import BackendUnavailable, CheckpointError, ConfigError, ExportError
from glamor_cli.export import artefacts
from glamor_cli.export.artefacts import ArtefactConfig, export_artefacts
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig, ExportPrecision
from glamor_cli.export.tensorrt_build import EngineConfig, build_engine
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.rtx_cache import RuntimeCache, cache_path
from glamor_cli.runtimes.sidecar import read_sidecar, sidecar_path
from glamor_cli.runtimes.tensorrt_library import Target, generations, load_library
from glamor_cli.system.gpus import Driver, Gpu, query_driver
from glamor_cli.weights.registry import DEFAULT_WEIGHTS

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

RTX = EngineConfig(target=Target.RTX, batch=BatchRange(1, 4, 16))
# Places in the file's header where TensorRT-RTX 1.7 keeps its version and its GPU generations.
VERSION_OFFSET, GENERATIONS_OFFSET = 24, 32


@pytest.fixture(scope="module")
def half(weights_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("half") / "half.onnx"
    config = ExportConfig(precision=ExportPrecision.FP16, batch=BatchRange(1, 2, 3))
    export_onnx(weights_file, path, config)
    return path


@pytest.fixture(scope="module")
def engine(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("engine") / "varied.engine"
    build_engine(exported, path, RTX)
    return path


@pytest.fixture
def copied(engine, tmp_path):
    path = tmp_path / "copied.engine"
    shutil.copy(engine, path)
    shutil.copy(sidecar_path(engine), sidecar_path(path))
    return path


def change_sidecar(engine, **values):
    path = sidecar_path(engine)
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("generation", generations(trt))
def test_every_generation_is_built_for_without_a_gpu(half, tmp_path, generation):
    out = tmp_path / "half.engine"
    config = dataclasses.replace(RTX, generations=(generation,))
    report = build_engine(half, out, config)
    assert report.sidecar.architectures == (generation,)
    assert report.sidecar.precision == "fp16"
    header = out.read_bytes()[:64]
    if trt.__version__.startswith("1.7."):
        version = ".".join(str(part) for part in header[VERSION_OFFSET : VERSION_OFFSET + 4])
        assert version == report.sidecar.version
        (mask,) = struct.unpack_from("<I", header, GENERATIONS_OFFSET)
        assert mask == 1 << generations(trt).index(generation)
    # Only a GPU loads an engine, but its inputs, outputs and profile stand in the file readably.
    content = out.read_bytes()
    for name in (b"face", b"context", b"probabilities", b"attention", b"stream_weights"):
        assert name in content
    for batch in (RTX.batch.minimum, RTX.batch.optimum, RTX.batch.maximum):
        for size in (96, 112):
            assert struct.pack("<4q", batch, 3, size, size) in content
    assert struct.pack("<4q", 7, 3, 96, 96) not in content


def test_engine_holds_the_whole_network_in_the_types_of_its_graph(engine, half, tmp_path):
    built = engine.read_bytes()
    for name in (b"face", b"context", b"probabilities", b"attention", b"stream_weights"):
        assert name in built
    build_engine(half, tmp_path / "half.engine", RTX)
    # Two megabytes of parameters less: float16 is not float32 under another name.
    assert (tmp_path / "half.engine").stat().st_size < len(built) - 2e6


def test_an_engine_whose_sidecar_cannot_be_written_replaces_no_older_one(
    exported, weights_file, tmp_path
):
    out = tmp_path / "x.engine"
    out.write_text("older")
    sidecar_path(out).mkdir()
    config = ArtefactConfig(ExportConfig(batch=BatchRange(1, 1, 2)), engine=RTX)
    for build in (
        lambda: build_engine(exported, out, RTX),
        lambda: export_artefacts(weights_file, out, config),
    ):
        with pytest.raises(ConfigError, match=r"x\.engine\.json is a folder"):
            build()
        assert out.read_text() == "older"
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == ["x.engine", "x.engine.json"]


def test_sidecar_says_what_was_built(engine, exported):
    sidecar = read_sidecar(engine)
    assert sidecar.target is Target.RTX
    assert sidecar.version == trt.__version__
    assert sidecar.precision == "fp32"
    assert (sidecar.batch_min, sidecar.batch_opt, sidecar.batch_max) == (1, 4, 16)
    assert sidecar.architectures == tuple(name for name in generations(trt) if name != "SM75")
    assert sidecar.gpu == ""
    assert sidecar.metadata == open_runtime(exported, device="cpu").metadata


def test_float32_on_turing_is_refused_with_tensorrts_reason(exported, tmp_path):
    config = dataclasses.replace(RTX, generations=("SM75", "SM89"))
    with pytest.raises(ExportError, match="FP32 GEMM is not supported") as refused:
        build_engine(exported, tmp_path / "turing.engine", config)
    assert "--precision fp16" in refused.value.remedy
    assert not list(tmp_path.iterdir())


def test_graph_that_tensorrt_cannot_read_is_refused_with_its_reason(exported, tmp_path):
    model = onnx.load(exported)
    next(node for node in model.graph.node if node.op_type == "Conv").op_type = "Unheard"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ExportError, match="Unheard"):
        build_engine(tmp_path / "odd.onnx", tmp_path / "odd.engine", RTX)
    assert not list(tmp_path.glob("*.engine*"))


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_graph_whose_name_is_no_unicode_is_built(half, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.onnx")
    shutil.copy(half, path)
    assert build_engine(path, path.with_suffix(".engine"), RTX).sidecar.precision == "fp16"


def test_graph_that_is_not_in_the_claimed_precision_is_refused(half, tmp_path):
    model = onnx.load(half)
    for entry in model.metadata_props:
        entry.value = entry.value.replace('"fp16"', '"fp32"')
    onnx.save(model, tmp_path / "lying.onnx")
    with pytest.raises(ExportError, match=r"computes in fp16, but .* exported as fp32"):
        build_engine(tmp_path / "lying.onnx", tmp_path / "lying.engine", RTX)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"generations": ("SM90",)}, "does not build for SM90"),
        ({"timing_cache": "cache"}, "no timing cache"),
    ],
)
def test_what_rtx_cannot_do_is_refused(exported, tmp_path, change, says):
    with pytest.raises(ConfigError, match=says):
        build_engine(exported, tmp_path / "x.engine", dataclasses.replace(RTX, **change))


def test_other_files_are_refused(exported, graph, tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    for source in (tmp_path / "text.onnx", tmp_path / "foreign.onnx", graph):
        with pytest.raises(CheckpointError):
            build_engine(source, tmp_path / "x.engine", RTX)
    with pytest.raises(ConfigError, match=r"does not end in \.engine"):
        build_engine(exported, tmp_path / "x.plan", RTX)
    with pytest.raises(ConfigError, match="the workspace in MiB must be at least 1, not 0"):
        EngineConfig(workspace=0)


@pytest.mark.skipif(bool(query_driver().gpus), reason="has a GPU")
def test_engine_on_a_machine_without_gpu_says_so(engine):
    with pytest.raises(BackendUnavailable, match="cannot run here"):
        open_runtime(engine)
    with pytest.raises(ConfigError, match="GPUs only"):
        open_runtime(engine, device="cpu")


def test_damaged_engine_is_told_from_its_checksum(copied):
    whole, built_for = copied.read_bytes(), read_sidecar(copied).architectures
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        copied.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged, truncated") as refused:
            open_runtime(copied)
        assert "glamor export --trt --target rtx --gpu " in refused.value.remedy
        assert "--weights WEIGHTS" in refused.value.remedy
        assert "--batch-max 16" in refused.value.remedy
        # The same GPUs, and in the damaged one's place.
        for architecture in built_for:
            assert f"--gpu {architecture} " in refused.value.remedy
        assert shlex.split(refused.value.remedy)[-2:] == ["--output", str(copied)]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": "1.6.0.1"}, "was built by tensorrt-rtx 1.6.0.1, but"),
        ({"platform": "win32-amd64"}, "was built for win32-amd64"),
        ({"schema": 2}, "schema 2, not 1"),
        ({"target": "other"}, "cannot be read"),
        ({"batch_max": 0}, "cannot be read"),
        ({"batch_max": 16.5}, "batch_max is 16.5"),
        ({"precision": 32}, "precision is 32"),
        ({"architectures": [float("nan")]}, "architectures is [nan]"),
        ({"architectures": "SM89"}, "architectures is 'SM89'"),
        ({"metadata": {}}, "metadata"),
    ],
)
def test_engine_of_another_place_is_refused(copied, values, says):
    change_sidecar(copied, **values)
    with pytest.raises(CheckpointError, match=re.escape(says)):
        open_runtime(copied)


def test_engine_of_another_architecture_is_refused(engine):
    sidecar = read_sidecar(engine)
    sidecar.require_architecture(engine, Gpu("a card", "SM89"))
    with pytest.raises(CheckpointError, match=r"the GPU here is SM90 \(a server card\)") as refused:
        sidecar.require_architecture(engine, Gpu("a server card", "SM90"))
    # TensorRT-RTX builds for no server card.
    assert "glamor export --trt --target trt --weights" in refused.value.remedy


def test_engine_for_other_gpus_than_this_machines_is_compared_as_onnx(
    weights_file, tmp_path, monkeypatch
):
    """A GPU that cannot run it must not cost the export. The driver is stood in for."""
    driver = Driver("13.0", (Gpu("a server card", "SM90"),))
    monkeypatch.setattr(artefacts, "query_driver", lambda: driver)
    config = ArtefactConfig(
        ExportConfig(precision=ExportPrecision.FP16, batch=BatchRange(1, 1, 2)),
        engine=dataclasses.replace(RTX, generations=("SM89",)),
    )
    made = export_artefacts(weights_file, tmp_path / "x.engine", config)
    assert not made.verified
    assert read_sidecar(tmp_path / "x.engine").architectures == ("SM89",)


def test_only_the_first_gpu_counts_because_engines_run_there(engine):
    sidecar, cards = read_sidecar(engine), (Gpu("a card", "SM89"), Gpu("a server card", "SM90"))
    assert sidecar.runs_on(Driver("13.0", cards))
    assert not sidecar.runs_on(Driver("13.0", cards[::-1]))
    assert not sidecar.runs_on(Driver("", (), "no NVIDIA driver"))


def rebuilt(remedy, weights, store, out):
    """Run the command of a remedy as it is, with files for its WEIGHTS and STORE."""
    words = shlex.split(remedy.partition("glamor export ")[2])
    files = {"WEIGHTS": str(weights), "STORE": str(store)}
    arguments = [files.get(word, word) for word in words]
    ended = CliRunner().invoke(app, ["export", *arguments, "--output", str(out)])
    assert ended.exit_code == 0, ended.output or ended.exception
    return read_sidecar(out)


def test_command_that_builds_an_engine_anew_builds_it(engine, weights_file, scene_store, tmp_path):
    of_a_run = dataclasses.replace(read_sidecar(engine), precision="int8")
    made = rebuilt(
        of_a_run.rebuild_remedy(engine), weights_file, scene_store, tmp_path / "int8.engine"
    )
    assert made.precision == "int8"
    assert made.architectures == of_a_run.architectures
    assert made.batch_max == of_a_run.batch_max


def test_command_for_turing_names_it_and_is_in_fp16(engine, weights_file, tmp_path):
    with pytest.raises(CheckpointError) as refused:
        read_sidecar(engine).require_architecture(engine, Gpu("an older card", "SM75"))
    made = rebuilt(refused.value.remedy, weights_file, None, tmp_path / "turing.engine")
    assert made.architectures == ("SM75",)
    assert made.precision == "fp16"


def test_command_for_tensorrt_itself_keeps_float32_and_names_no_gpu(engine):
    """It builds for the GPU at hand, for Turing in float32 too."""
    sidecar = dataclasses.replace(
        read_sidecar(engine), target=Target.TRT, architectures=("SM75",), precision="fp32"
    )
    remedy = sidecar.rebuild_remedy(engine)
    assert " --target trt --weights WEIGHTS --precision fp32 --batch-min 1 --batch-opt 4 " in remedy


def test_command_names_weights_that_are_registered(engine):
    sidecar = read_sidecar(engine)
    shipped = dataclasses.replace(sidecar.metadata, name=DEFAULT_WEIGHTS)
    remedy = dataclasses.replace(sidecar, metadata=shipped).rebuild_remedy(engine)
    assert f"--weights {DEFAULT_WEIGHTS} " in remedy


def test_command_writes_to_a_file_and_not_to_an_option(engine):
    remedy = read_sidecar(engine).rebuild_remedy(Path("-my engine.engine"))
    assert remedy.endswith(" --output './-my engine.engine'")


def test_engine_without_its_sidecar_is_refused(copied):
    sidecar_path(copied).unlink()
    with pytest.raises(CheckpointError, match="beside it"):
        open_runtime(copied)
    sidecar_path(copied).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_runtime(copied)


def test_flavour_that_is_not_installed_is_named():
    try:
        load_library(Target.TRT)
    except BackendUnavailable as error:
        assert "--extra trt" in error.remedy
        # What is installed serves where nothing is asked for.
        assert load_library()[0] is Target.RTX
    else:
        assert load_library()[0] is Target.TRT


def test_batches_outside_the_profile_are_refused_with_a_remedy(engine):
    sidecar = dataclasses.replace(read_sidecar(engine), batch_min=4)
    assert [sidecar.fit_batch(count) for count in (1, 4, 9, 16)] == [4, 4, 9, 16]
    with pytest.raises(ConfigError, match="batch of 17 is outside the engine's profile of 4 to 16"):
        sidecar.fit_batch(17)


def test_damaged_cache_of_a_first_run_is_no_error(tmp_path):
    """The library's side is stood in for, because only a GPU has one."""

    class Library:
        def __init__(self, takes):
            self.takes, self.given = takes, None

        def create_runtime_config(self):
            return self

        def create_runtime_cache(self):
            return self

        def deserialize(self, content):
            self.given = content
            return self.takes

        def serialize(self):
            return b"compiled"

    engine_file = tmp_path / "x.engine"
    cache_path(engine_file).write_bytes(b"of another GPU")
    library = Library(takes=False)
    cache = RuntimeCache(library, engine_file)
    assert library.given == b"of another GPU"
    cache.save()
    assert cache_path(engine_file).read_bytes() == b"compiled"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.engine.cache"]
