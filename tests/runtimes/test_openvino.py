"""OpenVINO behind the same call: the same answers, or to bfloat16's tolerance, and truly told."""

import os
import subprocess
import sys

import onnx
import pytest

from glamor_cli.errors import CheckpointError, ConfigError
from glamor_cli.export.pairs import random_pairs
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import max_abs_diff

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture
def exported(files):
    return files[".onnx"]


def test_bfloat16_is_used_where_the_cpu_has_it_and_is_told(exported):
    runtime = open_runtime(exported, provider="openvino", threads=1)
    has_bf16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert runtime.backend == "openvino"
    assert runtime.provider == ("CPU bf16" if has_bf16 else "CPU f32")
    assert runtime.metadata == open_runtime(exported, device="cpu", threads=1).metadata


def ask_often(runtime, monkeypatch, refuse=False):
    """Ask about 48 pairs until they are worth a graph of their own, and on; give its sizes."""
    sizes = []
    compile_model = openvino.Core.compile_model

    def note(core, graph, *options):
        sizes.append(graph.input("face").shape[0])
        if refuse:
            raise RuntimeError("bad allocation")
        return compile_model(core, graph, *options)

    pairs = random_pairs(48)
    with monkeypatch.context() as patch:
        patch.setattr(openvino.Core, "compile_model", note)
        for _ in range(5):
            runtime(pairs.face, pairs.context)
        assert sizes == [], "it is not worth it yet"
        for _ in range(7):
            runtime(pairs.face, pairs.context)
    return sizes


def answers_alike(runtime, exported):
    for count in (48, 3):
        pairs = random_pairs(count, seed=1)
        expected = open_runtime(exported, provider="openvino", threads=1)(pairs.face, pairs.context)
        assert max_abs_diff(runtime(pairs.face, pairs.context), expected) < 1e-3


def test_a_batch_size_asked_about_often_gets_its_own_graph(exported, monkeypatch):
    runtime = open_runtime(exported, provider="openvino", threads=1)
    assert ask_often(runtime, monkeypatch) == [48]
    answers_alike(runtime, exported)


def test_where_no_graph_can_be_compiled_any_more_answers_go_on(exported, monkeypatch):
    runtime = open_runtime(exported, provider="openvino", threads=1)
    assert ask_often(runtime, monkeypatch, refuse=True) == [48], "it is not tried for every batch"
    answers_alike(runtime, exported)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"provider": "tpu"}, "no provider 'tpu'"),
        ({"provider": "openvino", "device": "cuda"}, "runs on cpu, not on cuda"),
        ({"provider": "CUDAExecutionProvider", "device": "cpu"}, "runs on cuda, not on cpu"),
        ({"provider": "openvino", "threads": 0}, "threads must be at least 1, not 0"),
    ],
)
def test_impossible_choices_are_refused(exported, options, says):
    with pytest.raises(ConfigError, match=says):
        open_runtime(exported, **options)


def test_only_onnx_files_have_providers(exported):
    with pytest.raises(ConfigError, match="only ONNX files"):
        open_runtime(exported.with_suffix(".safetensors"), provider="openvino")


def test_damaged_and_foreign_files_are_refused(exported, tmp_path):
    whole = exported.read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.onnx").write_text("no graph")
    foreign = onnx.load(exported)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    renamed = onnx.load(exported)
    renamed.graph.input[0].name = "photograph"
    onnx.save(renamed, tmp_path / "renamed.onnx")
    odd = onnx.load(exported)
    next(node for node in odd.graph.node if node.op_type == "Conv").op_type = "Unheard"
    onnx.save(odd, tmp_path / "odd.onnx")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(CheckpointError):
            open_runtime(path, provider="openvino")


def test_without_openvino_the_message_says_what_to_install(exported, tmp_path):
    (tmp_path / "openvino.py").write_text("raise ModuleNotFoundError('No module named openvino')")
    code = (
        "import sys\nsys.path.insert(0, sys.argv[2])\n"
        "from glamor_cli.runtimes.base import open_runtime\n"
        "from glamor_cli.errors import BackendUnavailable\n"
        "try: open_runtime(sys.argv[1], provider='openvino')\n"
        "except BackendUnavailable as error: print(error.remedy)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported), str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "--extra openvino" in done.stdout


FORKED = """
import os
from glamor_cli.errors import ConfigError
from glamor_cli.predict import PredictConfig, open_predictor
from glamor_cli.vision.image_files import find_photograph

photograph = find_photograph()
predictor = open_predictor(PredictConfig(provider="openvino", threads=2))
list(predictor.predict(photograph))
child = os.fork()
if not child:
    code = 9
    try:
        list(predictor.predict(photograph))
        code = 8
    except ConfigError as error:
        print(error.what, error.remedy, flush=True)
        code = 0
    finally:
        os._exit(code)
assert os.waitpid(child, 0)[1] == 0
# Whoever opened it goes on.
(answer,) = predictor.predict(photograph)
assert answer.faces
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_process_is_told_to_open_its_own():
    """Its request would wait for threads that are not there, for ever and without a word."""
    code = "import warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\n" + FORKED
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert "before the process was forked" in done.stdout
    assert "in each process after the fork" in done.stdout
