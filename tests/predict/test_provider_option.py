"""--provider must run what it names: the same answers from another engine, or an error."""

import json
import sys

import pytest
from PIL import Image
from skimage.data import astronaut

from glamor_cli.__main__ import main
from glamor_cli.system.onnx_providers import cuda_problem


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(astronaut()).save("photo.png")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["glamor", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


def predict(run, *options):
    code, out, said = run("predict", "photo.png", "--format", "jsonl", "--threads", "1", *options)
    assert code == 0, said
    return json.loads(out)


def test_openvino_predicts_what_onnx_runtime_predicts(run):
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    ours = predict(run, "--provider", "openvino")
    theirs = predict(run, "--provider", "CPUExecutionProvider")
    # Wide enough for bfloat16, in which faces are found too where the CPU has AMX.
    assert ours["box"] == pytest.approx(theirs["box"], abs=2)
    assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=3e-2)


@pytest.mark.skipif(cuda_problem() is None, reason="has CUDA")
@pytest.mark.parametrize(
    "command", [("predict", "photo.png", "--format", "jsonl"), ("explain", "photo.png")]
)
def test_cuda_that_cannot_load_is_named_and_never_the_cpu(run, command):
    code, out, said = run(*command, "--provider", "CUDAExecutionProvider")
    assert code == 7
    assert out == ""
    assert cuda_problem() in " ".join(said.split())


def test_other_kinds_of_weights_have_no_providers(run, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"")
    code, _, said = run(
        "predict", "photo.png", "--weights", "x.safetensors", "--provider", "openvino"
    )
    assert code == 3
    assert "only ONNX files" in said
