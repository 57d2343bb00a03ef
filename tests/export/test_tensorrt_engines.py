"""Engines that run: whichever flavour of TensorRT and GPU is here."""

import dataclasses
import json

import numpy as np
import pytest

from glamor_cli.errors import BackendUnavailable, CheckpointError, ConfigError
from glamor_cli.export.artefacts import ArtefactConfig, export_artefacts
from glamor_cli.export.options import BatchRange, ExportConfig, ExportPrecision
from glamor_cli.export.tensorrt_build import EngineConfig, build_engine
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import max_abs_diff
from glamor_cli.runtimes.rtx_cache import cache_path
from glamor_cli.runtimes.sidecar import sidecar_path
from glamor_cli.runtimes.tensorrt_library import Target, generations, load_library
from glamor_cli.system.gpus import query_driver


@pytest.fixture(params=list(Target))
def target(request):
    """A flavour that this machine can build with and run."""
    driver = query_driver()
    if not driver.gpus:
        pytest.skip(driver.problem)
    try:
        _, trt = load_library(request.param)
    except BackendUnavailable as error:
        pytest.skip(error.what)
    here = driver.gpus[0].architecture
    if request.param is Target.RTX and here not in generations(trt):
        pytest.skip(f"TensorRT-RTX builds for {', '.join(generations(trt))}, not for {here}")
    return request.param


@pytest.mark.gpu
def test_engine_gives_the_networks_answers_at_every_batch(target, exported, tmp_path):
    path = tmp_path / "here.engine"
    build_engine(exported, path, EngineConfig(target=target, batch=BatchRange(2, 4, 16)))
    runtime, reference = open_runtime(path), open_runtime(exported, device="cpu")
    generator = np.random.default_rng(0)
    # Under, inside and over the profile, and a size met again after others.
    for count in (1, 2, 5, 40, 5):
        face = generator.random((count, 3, 96, 96), dtype=np.float32)
        context = generator.random((count, 3, 112, 112), dtype=np.float32)
        assert max_abs_diff(runtime(face, context), reference(face, context)) <= 1e-4
    runtime.largest_batch = 64
    with pytest.raises(ConfigError, match="outside the engine's profile"):
        runtime(
            np.zeros((17, 3, 96, 96), np.float32),
            np.zeros((17, 3, 112, 112), np.float32),
        )


@pytest.mark.gpu
def test_each_batch_size_has_its_own_graph_on_a_stream_of_its_own(target, exported, tmp_path):
    import torch

    path = tmp_path / "here.engine"
    build_engine(exported, path, EngineConfig(target=target, batch=BatchRange(1, 4, 16)))
    runtime = open_runtime(path)
    assert runtime._stream != torch.cuda.default_stream()
    for count in range(1, 13):
        runtime(
            np.zeros((count, 3, 96, 96), np.float32),
            np.zeros((count, 3, 112, 112), np.float32),
        )
    # The sizes used least lately were let go.
    assert list(runtime._calls) == list(range(5, 13))
    captured = [call.graph is not None for call in runtime._calls.values()]
    assert captured == [target is Target.TRT] * 8
    assert cache_path(path).exists() == (target is Target.RTX)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_export_verifies_the_engine_itself(target, weights_file, scene_store, tmp_path, precision):
    onnx_config = ExportConfig(
        ExportPrecision(precision), batch=BatchRange(1, 2, 3), verify=scene_store
    )
    # Engines fuse as they like: 1e-5 is for the ONNX file.
    onnx_config = dataclasses.replace(onnx_config, atol=5e-3)
    config = ArtefactConfig(onnx_config, engine=EngineConfig(target))
    made = export_artefacts(weights_file, tmp_path / "x.engine", config)
    assert made.verified
    assert made.onnx.agreement is not None
    assert made.onnx.agreement.pairs == 14
    assert made.engine.sidecar.precision == precision


@pytest.mark.gpu
def test_an_engine_is_compared_with_the_file_it_was_built_from(
    target, exported, scene_store, tmp_path
):
    onnx_config = ExportConfig(batch=BatchRange(1, 2, 3), verify=scene_store, atol=5e-3)
    config = ArtefactConfig(onnx_config, engine=EngineConfig(target))
    made = export_artefacts(exported, tmp_path / "x.engine", config)
    assert made.verified
    assert [check.batch for check in made.onnx.batches] == [1, 2, 3]
    assert made.onnx.agreement is not None
    assert made.onnx.agreement.pairs == 14


@pytest.mark.gpu
def test_engine_under_another_ones_sidecar_is_refused(target, exported, tmp_path):
    path = tmp_path / "here.engine"
    build_engine(exported, path, EngineConfig(target=target, batch=BatchRange(1, 4, 16)))
    sidecar = sidecar_path(path)
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"batch_max": 32}))
    with pytest.raises(CheckpointError, match="its sidecar says otherwise"):
        open_runtime(path)
