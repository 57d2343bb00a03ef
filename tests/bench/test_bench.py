"""A benchmark's figures must be complete, honest about who ran, and survive what is missing."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from terminal import run_on_terminal
from typer.testing import CliRunner

import glamor_cli.bench.run as bench_run
from glamor_cli.bench.contenders import Contender, LineUp, Setup
from glamor_cli.bench.floor import Rates, Work, count_work
from glamor_cli.bench.options import Backend, BenchConfig, BenchResult, Precision, Row, Target
from glamor_cli.bench.report import to_csv, write_plot
from glamor_cli.bench.run import run_bench
from glamor_cli.bench.torch_backends import (
    AsWritten,
    TorchBackendRuntime,
    make_call,
    read_in_place,
)
from glamor_cli.bench.training import training_step
from glamor_cli.cli.app import app
from glamor_cli.errors import BackendUnavailable, ConfigError, DataError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig
from glamor_cli.export.pairs import random_pairs
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.exported import EXPORT_KEY
from glamor_cli.runtimes.sidecar import sidecar_path
from glamor_cli.system.environment import describe_environment
from glamor_cli.system.onnx_providers import cuda_problem
from glamor_cli.system.timing import time_interleaved
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network, save_network
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, find_weights

COLUMNS = {
    "what",
    "backend",
    "provider",
    "precision",
    "device",
    "batch",
    "threads",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p95_ms",
    "images_per_second",
    "device_p50_ms",
    "floor_ms",
    "floor_ratio",
    "max_abs_diff",
    "top1_agreement",
    "status",
}
"""What every row has, whatever was measured; programs read it."""


@pytest.fixture(scope="module")
def weights() -> Path:
    """The shipped weights: of others, every benchmark of ONNX Runtime exports a file first."""
    return find_weights(DEFAULT_WEIGHTS)


def quick(weights: Path, **settings) -> BenchConfig:
    defaults = {"device": "cpu", "threads": 1, "seconds": 0, "iterations": 2, "warmup_seconds": 0}
    return BenchConfig(weights=weights, **(defaults | settings))


def test_every_target_is_measured_and_compared(weights: Path, tmp_path: Path) -> None:
    result = run_bench(quick(weights, targets=tuple(Target), batches=(2,)))
    written = json.loads(json.dumps(result.to_dict()))
    rows = written["rows"]
    assert {row["what"] for row in rows} == set(Target)
    assert {row["what"] for row in rows if row["status"] == "ok"} == set(Target)
    for row in rows:
        assert set(row) >= COLUMNS
        if row["status"] == "ok":
            assert row["device_p50_ms"] is None, "a CPU has no clock of its own"
            if row["what"] in ("core", "network"):
                assert row["floor_bound"] in ("bytes", "operations")
                assert row["floor_ratio"] == pytest.approx(row["p50_ms"] / row["floor_ms"])
            assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
            assert row["images_per_second"] == pytest.approx(2e3 / row["p50_ms"])
    fused = {row["what"]: row for row in rows if row["backend"] == "fused"}
    assert "CUDA" in fused["core"]["status"]
    assert fused["network"]["max_abs_diff"] <= 1e-5
    for what in ("core", "network", "pipeline"):
        of_target = {row["backend"]: row for row in rows if row["what"] == what}
        assert of_target["eager"]["provider"] == "cpu"
        assert of_target["ort"]["provider"] == "CPUExecutionProvider"
        assert of_target["eager"]["max_abs_diff"] <= 1e-6
        assert of_target["ort"]["max_abs_diff"] <= 1e-5, what
        assert of_target["ort"]["top1_agreement"] == 1
    assert "ort does not train" in {row["status"] for row in rows if row["what"] == "train"}
    environment = written["environment"]
    assert {"cpu", "cores", "load", "torch", "python", "time"} <= set(environment)

    lines = csv.DictReader(to_csv(result).splitlines())
    assert [row["what"] for row in lines] == [row["what"] for row in rows]
    write_plot(result, tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_run_is_a_row_with_the_reason(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no graph")
    result = run_bench(
        quick(
            weights,
            targets=(Target.NETWORK,),
            batches=(1,),
            backends=(Backend.EAGER, Backend.TENSORRT),
            exports=(tmp_path / "damaged.onnx", weights.with_suffix(".onnx")),
        )
    )
    assert [row.status == "ok" for row in result.rows] == [True, False, False, True]
    assert "--export" in result.rows[1].status
    assert "damaged.onnx" in result.rows[2].status
    assert result.rows[3].precision == "fp32"
    assert result.rows[1].p50_ms is None
    files = [None, None, str(tmp_path / "damaged.onnx"), str(weights.with_suffix(".onnx"))]
    assert [row.export for row in result.rows] == files


def test_the_table_takes_a_file_of_any_name() -> None:
    missing = Row(Target.NETWORK, Backend.ORT, "", "fp32", "cpu", 1, 1, export="a\rb.onnx")
    table = to_csv(BenchResult(describe_environment(), (missing,)))
    (row,) = csv.DictReader(io.StringIO(table, newline=""), strict=True)
    assert row["export"] == missing.export
    assert row["p50_ms"] == ""


def test_an_exported_file_that_is_not_there_is_told_before_anything_is_measured(
    weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*missing\.onnx"):
        run_bench(quick(weights, exports=(tmp_path / "missing.onnx",)))
    with pytest.raises(ConfigError) as told:
        run_bench(quick(weights, exports=(weights.parent,)))
    assert "ends in .onnx or .engine" in told.value.remedy


def test_an_export_of_another_network_is_timed_and_not_compared(
    weights: Path, tmp_path: Path
) -> None:
    others = {
        "classes": NetworkConfig(variant=Variant.FACE_ONLY, classes=8),
        "encoder": NetworkConfig(Encoder.RESNET18, Variant.FACE_ONLY),
    }
    paths = []
    for name, network in others.items():
        source = tmp_path / f"{name}.safetensors"
        classes = tuple("abcdefgh")[: network.classes]
        save_network(source, GlamorNet(network), Metadata(name, network=network, classes=classes))
        paths.append(source.with_suffix(".onnx"))
        export_onnx(source, paths[-1], ExportConfig(batch=BatchRange(1, 1, 1)))
    settings = {"targets": (Target.NETWORK, Target.PIPELINE), "batches": (1,)}
    result = run_bench(quick(weights, backends=(Backend.EAGER,), exports=paths, **settings))
    assert {row.status for row in result.rows} == {"ok"}
    of_others = [row for row in result.rows if row.export is not None]
    assert [row.export for row in of_others] == [str(path) for path in paths] * 2
    for row in of_others:
        assert row.p50_ms > 0
        assert (row.max_abs_diff, row.top1_agreement, row.floor_ms) == (None, None, None)


def test_earlier_figures_outlive_a_run_that_measures_nothing(weights: Path, tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    kept.write_text("[]")
    words = ["bench", "--weights", str(weights), "--what", "network", "--precision", "int8"]
    result = CliRunner().invoke(app, [*words, "--json", str(kept), "--device", "cpu"])
    assert isinstance(result.exception, BackendUnavailable)
    assert kept.read_text() == "[]"


def test_earlier_figures_outlive_a_stop_before_the_first_figure(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "figures.json"
    kept.write_text("[]")

    def stop(config: BenchConfig, on_progress: object, on_rows: Callable) -> None:
        on_rows([Row(Target.CORE, Backend.FUSED, "", "fp32", "cpu", 1, 1, status="no GPU")])
        raise KeyboardInterrupt

    monkeypatch.setattr("glamor_cli.bench.run.run_bench", stop)
    done = CliRunner().invoke(app, ["bench", "--weights", str(weights), "--json", str(kept)])
    assert done.exit_code == 130
    assert "no GPU" in done.stderr
    assert "nothing has been measured yet" in done.stderr
    assert kept.read_text() == "[]"


@pytest.mark.skipif(sys.platform == "win32", reason="has no such terminals")
def test_a_narrow_terminal_gets_whole_figures() -> None:
    words = ["bench", "--weights", DEFAULT_WEIGHTS, "--what", "network", "--backends", "ort,eager"]
    words += ["--batch", "32", "--seconds", "0", "--iterations", "2", "--device", "cpu"]
    code, output, shown = run_on_terminal(*words, "--json", "-", columns=40)
    assert code == 0, shown
    said = " ".join(shown.split())
    for row in json.loads(output)["rows"]:
        for figure in ("batch 32", *(f"{row[f'p{part}_ms']:.2f}" for part in (50, 99))):
            assert figure in said


def test_exported_files_of_any_name_are_drawn_and_leave_the_figures_their_room(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["$\\frac$.onnx", "_net.onnx", f"{'long-' * 20}name.onnx", "[x].onnx"]
    paths = [tmp_path / name for name in names]
    for path in paths:
        shutil.copy(weights.with_suffix(".onnx"), path)
    plot = tmp_path / "plot.svg"
    words = ["bench", "--weights", str(weights), "--what", "network", "--backends", "ort"]
    words += ["--batch", "1", "--seconds", "0", "--iterations", "2", "--device", "cpu"]
    monkeypatch.setenv("COLUMNS", "80")
    exports = [word for path in paths for word in ("--export", str(path))]
    done = CliRunner().invoke(app, [*words, *exports, "--plot", str(plot)])
    assert done.exit_code == 0, done.exception
    assert plot.stat().st_size > 5000
    assert "…" not in done.stderr
    assert "[x].onnx" in done.stderr


def test_registered_weights_may_be_measured_by_their_name(weights: Path) -> None:
    settings = {"targets": (Target.NETWORK,), "batches": (1,), "backends": (Backend.ORT,)}
    *_, named = run_bench(quick(weights, exports=(DEFAULT_WEIGHTS,), **settings)).rows
    assert (named.status, named.export, named.precision) == ("ok", DEFAULT_WEIGHTS, "fp32")


def test_compiled_graphs_read_their_inputs_where_they_are(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled for others, they would copy them at every call, which no other backend pays for."""
    kinds: list[list[object]] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> object:
        inputs = [node for node in graph.graph.nodes if node.op == "placeholder"]
        told = [
            node.meta["tensor_dict"] for node in inputs if node.name in ("l_face_", "l_context_")
        ]
        kinds.append([one.get("_dynamo_static_input_type") for one in told])
        return graph.forward

    torch.compiler.reset()
    network, metadata = load_network(weights)
    module = AsWritten(network, 1.0).eval()
    module.compile(dynamic=False, fullgraph=True, backend=keep)
    runtime = TorchBackendRuntime(module, metadata, "cpu")
    pairs = random_pairs(2)
    face, context = torch.from_numpy(pairs.face).clone(), torch.from_numpy(pairs.context).clone()
    read_in_place(face, context)
    with torch.no_grad():
        run = runtime.on_device(face, context)
        for _ in range(2):
            runtime(pairs.face, pairs.context)
            run()
    assert kinds == [["unguarded", "unguarded"]]


def test_a_file_beside_weights_of_ones_own_is_not_taken_for_theirs(
    weights: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(weights.read_bytes())
    own.with_suffix(".onnx").write_text("of other weights, or in another precision")
    settings = {"targets": (Target.NETWORK,), "batches": (1,), "backends": (Backend.ORT,)}
    (row,) = run_bench(quick(own, **settings)).rows
    assert row.status == "ok"
    assert row.max_abs_diff is not None and row.max_abs_diff < 1e-4
    shipped = Setup(BenchConfig(weights=DEFAULT_WEIGHTS, device="cpu"), tmp_path)
    assert shipped.onnx_file == find_weights(DEFAULT_WEIGHTS, suffix=".onnx")


def test_a_damaged_image_costs_only_the_targets_that_read_it(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.jpg").write_bytes(b"\xff\xd8\xff no picture")
    targets = (Target.DETECTOR, Target.PIPELINE, Target.NETWORK)
    result = run_bench(
        quick(weights, targets=targets, batches=(1,), backends=(Backend.EAGER,), images=tmp_path)
    )
    assert [row.what for row in result.rows] == list(targets)
    assert [row.status == "ok" for row in result.rows] == [False, False, True]
    assert "damaged.jpg" in result.rows[0].status
    (tmp_path / "damaged.jpg").unlink()
    with pytest.raises(DataError, match="no images"):
        run_bench(quick(weights, images=tmp_path))


def test_a_batch_too_large_for_memory_costs_only_itself(weights: Path) -> None:
    """No machine has room for it, so nothing is taken before it is refused."""
    too_many = 10**12
    result = run_bench(
        quick(weights, targets=(Target.NETWORK,), batches=(too_many, 1), backends=(Backend.EAGER,))
    )
    assert [(row.batch, row.status == "ok") for row in result.rows] == [
        (too_many, False),
        (1, True),
    ]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_times_that_never_end_are_refused(seconds: float) -> None:
    with pytest.raises(ConfigError, match="must be 0 seconds or more and finite"):
        BenchConfig(seconds=seconds)


def test_an_engine_with_a_damaged_sidecar_is_a_row_with_the_reason(
    weights: Path, tmp_path: Path
) -> None:
    engines = tuple(tmp_path / name for name in ("text.engine", "list.engine", "alone.engine"))
    for engine in engines:
        engine.write_bytes(b"an engine")
    sidecar_path(engines[0]).write_text("{ no JSON")
    sidecar_path(engines[1]).write_text("[]")
    result = run_bench(
        quick(
            weights,
            targets=(Target.NETWORK,),
            batches=(1,),
            backends=(Backend.EAGER,),
            exports=engines,
        )
    )
    assert [row.status == "ok" for row in result.rows] == [True, False, False, False]
    assert {row.precision for row in result.rows[1:]} == {"unknown"}


def test_every_backend_and_precision_has_a_row(weights: Path) -> None:
    result = run_bench(
        quick(
            weights,
            targets=(Target.CORE, Target.NETWORK, Target.TRAIN),
            batches=(1,),
            # Compiling takes longer than all the rest.
            backends=tuple(backend for backend in Backend if backend is not Backend.COMPILE),
            precisions=(Precision.FP16, Precision.INT8),
        )
    )
    for row in result.rows:
        assert row.status, row
        if row.status != "ok":
            assert row.p50_ms is None
    done = {(row.what, row.backend, row.precision) for row in result.rows if row.status == "ok"}
    # ONNX Runtime computes float16 on the CPU too; OpenVINO says what it chose by itself.
    assert (Target.NETWORK, Backend.ORT, "fp16") in done
    chosen = {row.precision for row in result.rows if row.backend is Backend.OPENVINO}
    assert len(chosen & {"fp32", "bf16"}) == 1
    reasons = {row.status for row in result.rows}
    assert "torch computes in half precision only on CUDA" in reasons
    assert "bench does not export in int8 (an exported file can be given with --export)" in reasons
    assert "training knows fp32 and bf16, not fp16" in reasons


def compile_to_nothing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let torch.compile end with its graphs, which take minutes less; gives one entry for each."""
    graphs: list[int] = []

    def keep(graph: torch.fx.GraphModule, _: object) -> object:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    def compile_module(module: torch.nn.Module, *, mode: str, **settings: object) -> None:
        module._compiled_call_impl = torch.compile(module._call_impl, backend=keep, **settings)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_module)
    return graphs


def test_every_batch_is_compiled_although_torch_ends_after_eight(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ninth would run as it is written, and be measured as compiled."""
    graphs = compile_to_nothing(monkeypatch)
    batches = tuple(range(1, 11))
    result = run_bench(
        quick(weights, targets=(Target.CORE,), batches=batches, backends=(Backend.COMPILE,))
    )
    assert {row.status for row in result.rows} == {"ok"}
    assert len(graphs) == len(batches)


def test_what_torch_does_not_compile_fails_instead_of_running_as_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = compile_to_nothing(monkeypatch)
    torch.compiler.reset()
    module = AsWritten(GlamorNet().eval(), 1.0, core=True)
    call = make_call(Backend.COMPILE, module, "default")
    with torch.no_grad(), pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
        for batch in range(1, 20):
            call(torch.rand(batch, 256, 6, 6), torch.rand(batch, 256, 7, 7))
    assert len(graphs) < 19


@pytest.mark.parametrize("encoder", Encoder)
def test_a_training_step_compiles_whole(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = compile_to_nothing(monkeypatch)
    torch.compiler.reset()
    network = GlamorNet(NetworkConfig(encoder))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    step = training_step(network, optimizer, random_pairs(2), compile_mode="default")
    assert np.isfinite(step())
    assert len(graphs) == 1


def test_work_is_counted_and_the_larger_bound_is_the_floor() -> None:
    class Layer(torch.nn.Linear):
        def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (super().forward(inputs[0]),)

    work = count_work(Layer(30, 20, bias=False), torch.rand(5, 30), itemsize=2)
    assert work.operations == 2 * 5 * 30 * 20
    assert work.bytes == 2 * (30 * 20 + 5 * 30) + 4 * 5 * 20
    assert Rates(bytes=100, operations=1000).floor(Work(200, 1000)) == (2, "bytes")
    assert Rates(bytes=100, operations=1000).floor(Work(200, 4000)) == (4, "operations")


def test_numbers_that_torch_does_not_multiply_have_no_floor(weights: Path, tmp_path: Path) -> None:
    """Beside the floor of float32, INT8 would seem to be at the hardware's limit, or beyond."""
    model = onnx.load(weights.with_suffix(".onnx"))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    export = json.loads(properties[EXPORT_KEY]) | {"precision": "int8"}
    onnx.helper.set_model_props(model, properties | {EXPORT_KEY: json.dumps(export)})
    onnx.save(model, tmp_path / "said-to-be-int8.onnx")
    exports = (tmp_path / "said-to-be-int8.onnx",)
    result = run_bench(
        quick(
            weights,
            targets=(Target.NETWORK,),
            batches=(1,),
            backends=(Backend.ORT,),
            exports=exports,
        )
    )
    floors = {row.precision: row.floor_ms for row in result.rows}
    assert floors.keys() == {"fp32", "int8"}
    assert floors["fp32"] is not None
    assert floors["int8"] is None


def test_a_network_without_a_core_says_so(tmp_path: Path) -> None:
    config = NetworkConfig(variant=Variant.FACE_ONLY)
    path = tmp_path / "face.safetensors"
    save_network(path, GlamorNet(config), Metadata("face", network=config))
    result = run_bench(quick(path, targets=(Target.CORE,), batches=(1,)))
    assert all("no attention-fusion core" in row.status for row in result.rows)


def test_what_failed_is_not_tried_again(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler may take minutes to fail."""
    tried = []

    def fail() -> None:
        tried.append(1)
        raise RuntimeError("tuning failed")

    failing = Contender(Backend.COMPILE, "x", "fp32", "cpu", fail, device_run=fail)
    able = Contender(Backend.EAGER, "cpu", "fp32", "cpu", lambda: None)
    line_up = LineUp((failing, able))
    monkeypatch.setitem(bench_run._LINE_UP, Target.NETWORK, lambda *_: line_up)
    first, second = run_bench(quick(weights, targets=(Target.NETWORK,), batches=(1,))).rows
    assert len(tried) == 1
    assert (first.status, first.p50_ms) == ("failed: RuntimeError: tuning failed", None)
    assert second.status == "ok" and second.p50_ms is not None


@pytest.mark.parametrize(("target", "searches"), [(Target.NETWORK, True), (Target.PIPELINE, False)])
def test_a_pipeline_is_not_timed_with_cudnn_s_searches(
    target: Target, searches: bool, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch keeps what they find for one thread, and each call of a predictor has another."""
    searched = []
    able = Contender(
        Backend.EAGER,
        "cpu",
        "fp32",
        "cpu",
        lambda: searched.append(torch.backends.cudnn.benchmark),
    )
    monkeypatch.setitem(bench_run._LINE_UP, target, lambda *_: LineUp((able,)))
    (row,) = run_bench(quick(weights, targets=(target,), batches=(1,))).rows
    assert row.status == "ok"
    assert set(searched) == {searches}


def test_calls_take_turns_and_a_failing_one_stops_alone() -> None:
    order: list[str] = []

    def call(name: str, seconds: float = 0.06):
        def run() -> None:
            order.append(name)
            if name == "breaks" and order.count("breaks") == 2:
                raise RuntimeError("out of memory")
            time.sleep(seconds)

        return run

    times = time_interleaved(
        [call("a"), call("breaks"), call("b")], seconds=0, iterations=4, warmup_seconds=0
    )
    assert isinstance(times[1], RuntimeError)
    assert len(times[0]) == len(times[2]) == 4
    assert min(times[0]) >= 0.06
    after_warmup = [name for name in order[3:] if name != "breaks"]
    rounds = [after_warmup[start : start + 2] for start in range(0, 8, 2)]
    assert all(set(turn) == {"a", "b"} for turn in rounds)
    assert ["a", "b"] in rounds
    assert ["b", "a"] in rounds, "who goes first must change"


def test_impossible_settings_are_refused(weights: Path) -> None:
    with pytest.raises(ConfigError, match="batch size must be at least 1, not 0"):
        BenchConfig(batches=(0,))
    with pytest.raises(ConfigError, match="threads"):
        BenchConfig(threads=0)
    with pytest.raises(ConfigError, match="nothing to measure"):
        BenchConfig(precisions=())
    for settings, says in (
        ({"exports": (weights.with_suffix(".onnx"),)}, "--export is only for the targets network"),
        ({"images": weights.parent}, "--images is only for the targets pipeline, detector"),
    ):
        with pytest.raises(ConfigError, match=says):
            BenchConfig(targets=(Target.CORE,), **settings)
    for settings in ({"compile_mode": "default"}, {"precisions": (Precision.FP16,)}):
        with pytest.raises(ConfigError, match="is only for the targets core"):
            BenchConfig(targets=(Target.DETECTOR, Target.PREPROCESS), **settings)
    with pytest.raises(ConfigError, match="--backends is only for the targets core"):
        BenchConfig(targets=(Target.PREPROCESS,), backends=(Backend.OPENVINO,))
    with pytest.raises(ConfigError, match="--compile-mode is only for the backend compile"):
        run_bench(quick(weights, backends=(Backend.EAGER,), compile_mode="default"))
    with pytest.raises(ConfigError, match="is an exported file"):
        run_bench(quick(weights.with_suffix(".onnx")))
    # Torch would run it, and its row would say ONNX Runtime.
    with pytest.raises(ConfigError, match="is not an exported file"):
        run_bench(quick(weights, exports=(weights,)))


def test_the_command_keeps_standard_output_for_json(weights: Path, tmp_path: Path) -> None:
    arguments = ["bench", "--weights", str(weights), "--what", "core", "--batch", "1,2"]
    arguments += ["--device", "cpu", "--seconds", "0", "--iterations", "1"]
    # One that runs and one that does not, and no export for the others at each of the three.
    arguments += ["--backends", "eager,fused"]
    silent = CliRunner().invoke(app, arguments)
    assert silent.exit_code == 0, silent.stderr
    assert silent.stdout == ""
    assert "eager" in silent.stderr
    table = tmp_path / "figures.csv"
    spoken = CliRunner().invoke(app, [*arguments, "--json", "-", "--csv", str(table)])
    rows = json.loads(spoken.stdout)["rows"]
    assert {row["batch"] for row in rows} == {1, 2}
    with table.open(newline="", encoding="utf-8") as handle:
        written = [(row["backend"], row["batch"]) for row in csv.DictReader(handle)]
    assert written == [(row["backend"], str(row["batch"])) for row in rows]
    figures = tmp_path / "figures.json"
    spoken = CliRunner().invoke(app, [*arguments, "--csv", "-", "--json", str(figures)])
    rows = json.loads(figures.read_text())["rows"]
    written = [(row["backend"], row["batch"]) for row in csv.DictReader(spoken.stdout.splitlines())]
    assert written == [(row["backend"], str(row["batch"])) for row in rows]
    refused = CliRunner().invoke(app, [*arguments, "--csv", "-", "--json", "-"]).exception
    assert isinstance(refused, ConfigError)
    assert "two results go to standard output" in refused.what
    for wrong in (
        ["--what", "nothing"],
        ["--batch", "many"],
        ["--backends", "magic"],
        ["--precision", "fp8"],
    ):
        assert CliRunner().invoke(app, [*arguments, *wrong]).exit_code == 2


def test_what_is_measured_is_kept_after_ctrl_c(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> LineUp:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            # As what is compiled tells of it.
            raise ImportError("initialization failed") from error
        raise AssertionError("nothing was raised")

    monkeypatch.setitem(bench_run._LINE_UP, Target.NETWORK, interrupt)
    figures, table, plot = (tmp_path / name for name in ("b.json", "b.csv", "b.png"))
    figures.write_text("older")
    arguments = ["bench", "--weights", str(weights), "--batch", "1,2", "--device", "cpu"]
    arguments += ["--seconds", "0", "--iterations", "1", "--backends", "eager,fused"]
    arguments += ["--json", str(figures), "--csv", str(table), "--plot", str(plot)]
    early = CliRunner().invoke(app, [*arguments, "--what", "network,core"])
    assert (early.exit_code, early.stderr) == (130, "stopped; nothing has been measured yet\n")
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]
    assert figures.read_text() == "older"
    late = CliRunner().invoke(app, [*arguments, "--what", "core,network,train"])
    assert late.exit_code == 130
    assert late.stderr.splitlines()[-1] == (
        "stopped; not measured: network, batch of 1 and 2; train, batch of 1 and 2"
    )
    assert "eager" in late.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert {(row["what"], row["batch"]) for row in rows} == {("core", 1), ("core", 2)}
    with table.open(newline="", encoding="utf-8") as handle:
        assert len(list(csv.DictReader(handle))) == len(rows)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_backends_of_which_none_runs_end_it_with_their_code(weights: Path, tmp_path: Path) -> None:
    figures = tmp_path / "b.json"
    arguments = ["bench", "--weights", str(weights), "--what", "core", "--batch", "1"]
    arguments += ["--device", "cpu", "--seconds", "0", "--iterations", "1", "--json", str(figures)]
    ended = CliRunner().invoke(app, [*arguments, "--backends", "cudagraph,fused"])
    assert isinstance(ended.exception, BackendUnavailable)
    assert "not measured: core, cudagraph fp32: CUDA graphs need CUDA" in ended.stderr
    assert "not measured: core, fused fp32: " in ended.stderr
    assert not figures.exists()
    assert CliRunner().invoke(app, [*arguments, "--backends", "eager,fused"]).exit_code == 0


def test_what_a_system_lacks_ends_no_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    words = ["bench", "--what", "detector,core", "--backends", "eager", "--batch", "1"]
    done = CliRunner().invoke(app, [*words, "--seconds", "0"])
    assert done.exit_code == 0, done.exception
    assert "(use --images)" in done.stderr
    assert "load" not in done.stderr.splitlines()[0]


def test_a_backend_looks_the_same_in_all_panels(tmp_path: Path) -> None:
    rows = [
        Row(what, backend, "cpu", "fp32", "cpu", batch=1, threads=1, p50_ms=1.0)
        for what, backends in (
            (Target.CORE, (Backend.EAGER, Backend.ORT)),
            (Target.NETWORK, (Backend.EAGER, Backend.FUSED, Backend.ORT)),
        )
        for backend in backends
    ]
    write_plot(BenchResult(describe_environment(), tuple(rows)), tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    # A legend writes a name after the mark that it explains.
    marks = [re.findall("stroke: (#[0-9a-f]+)", part)[-1] for part in drawn.split("<!-- ort ")[:-1]]
    assert len(marks) == 2
    assert marks[0] == marks[1]


def test_a_plot_of_an_unknown_kind_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    for name in ("plot.txt", "plot"):
        arguments = ["bench", "--weights", "unheard-of", "--plot", str(tmp_path / name)]
        refused = CliRunner().invoke(app, arguments).exception
        assert isinstance(refused, ConfigError)
        assert "cannot draw" in refused.what
        assert "--plot" in refused.remedy
        result = BenchResult(describe_environment(), ())
        with pytest.raises(ConfigError, match="cannot draw"):
            write_plot(result, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("gains", [True, False])
def test_openvino_runs_the_detector_where_it_gains(
    weights: Path, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    for module in ("bench.photographs", "vision.centerface"):
        monkeypatch.setattr(f"glamor_cli.{module}.gains_from_openvino", lambda: gains)
    chosen = {"targets": (Target.DETECTOR,), "backends": (Backend.ORT, Backend.OPENVINO)}
    result = run_bench(quick(weights, batches=(1,), **chosen))
    assert {row.backend: row.status for row in result.rows} == {
        "ort": "ok",
        "openvino": "ok" if gains else "it runs the detector only on CPUs with AMX",
    }


@pytest.mark.skipif(cuda_problem() is None, reason="ONNX Runtime can use CUDA here")
def test_without_cuda_the_detector_is_measured_on_the_cpu_and_says_why(weights: Path) -> None:
    chosen = {"targets": (Target.DETECTOR,), "backends": (Backend.ORT, Backend.ORT_CUDA)}
    measured, absent = run_bench(quick(weights, batches=(1,), **chosen)).rows
    assert (measured.backend, measured.status) == ("ort", "ok")
    assert absent.backend == "ort-cuda"
    assert cuda_problem() in absent.status


@pytest.mark.skipif(sys.platform == "win32", reason="the child is a shell script")
@pytest.mark.parametrize("child", ["exit 3", "read request; exit 3"])
def test_a_twin_that_dies_is_told(tmp_path: Path, child: str) -> None:
    """Before it is asked, and while it is."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{child}\n")
    python.chmod(0o755)
    program = Path(__file__).parents[2] / "benchmarks" / "keras_twin.py"
    done = subprocess.run(
        [sys.executable, program, "--python", python],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "the child ended with exit code 3"
