"""One suite over every runtime that this machine has: the same inputs, the same answers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from lively import TEMPERATURE, inputs, lively_network

from glamor_cli.errors import BackendUnavailable, CheckpointError, ConfigError, DataError
from glamor_cli.export.onnx_export import export_onnx
from glamor_cli.export.options import BatchRange, ExportConfig
from glamor_cli.export.tensorrt_build import EngineConfig, build_engine
from glamor_cli.network.config import Encoder, NetworkConfig, Variant
from glamor_cli.network.folding import fold_batch_norms
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime, max_abs_diff
from glamor_cli.runtimes.options import Provider, TorchPrecision
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.runtimes.torch import TorchRuntime
from glamor_cli.system.gpus import query_driver
from glamor_cli.system.onnx_providers import cuda_problem
from glamor_cli.weights.metadata import Metadata
from glamor_cli.weights.network_file import load_network, save_network
from glamor_cli.weights.registry import find_weights


def open_torch_cuda(files: dict[str, Path]) -> Runtime:
    return open_runtime(files[".safetensors"], device="cuda")


def open_engine(files: dict[str, Path], target: Target) -> Runtime:
    path = files[".onnx"].with_suffix(f".{target}.engine")
    built = build_engine(files[".onnx"], path, EngineConfig(target, BatchRange(2, 4, 16)))
    for gpu in query_driver().gpus[:1]:
        if gpu.architecture not in built.sidecar.architectures:
            pytest.skip(f"{target} does not build for {gpu.architecture}")
    return open_runtime(path)


OPENERS: dict[str, Callable[[dict[str, Path]], Runtime]] = {
    "torch": lambda files: open_runtime(files[".safetensors"], device="cpu", threads=1),
    "torch on CUDA": open_torch_cuda,
    **{
        provider: lambda files, provider=provider: open_runtime(
            files[".onnx"],
            provider=provider,
            threads=1,
        )
        for provider in Provider
    },
    **{
        f"engine {target}": lambda files, target=target: open_engine(files, target)
        for target in Target
    },
}
"""Everything that can run the network; what this machine has not is skipped, by name."""


def needs_gpu(name: str) -> bool:
    return "CUDA" in name or "engine" in name


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.gpu if needs_gpu(name) else ()) for name in OPENERS
    ],
)
def runtime(request: pytest.FixtureRequest, files: dict[str, Path]) -> Runtime:
    try:
        return OPENERS[request.param](files)
    except BackendUnavailable as error:
        # Without the temporary folder that an engine lies in.
        pytest.skip(error.what.rpartition("/")[2])


def tolerance(runtime: Runtime) -> float:
    if "bf16" in runtime.provider:
        return 3e-2
    return 1e-5 if runtime.device == "cpu" else 1e-4


@pytest.mark.parametrize("batch", [1, 3, 65])
def test_answers_are_the_networks(runtime: Runtime, files: dict[str, Path], batch: int) -> None:
    face, context = inputs(batch)
    network, metadata = load_network(files[".safetensors"])
    with torch.inference_mode():
        expected = network(torch.from_numpy(face), torch.from_numpy(context))
    probabilities = (expected.logits / TEMPERATURE).softmax(dim=1).numpy()
    assert probabilities.std() > 0.05, "a flat answer would hide differences"

    output = runtime(face, context)

    assert output.probabilities.dtype == np.float32
    wanted = (probabilities, expected.attention.numpy(), expected.stream_weights.numpy())
    for ours, theirs in zip(output, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance(runtime))
    assert runtime.metadata == metadata


def test_empty_batch_gives_empty_answers(runtime: Runtime) -> None:
    output = runtime(*inputs(0))
    assert output.probabilities.shape == (0, 7)
    assert output.attention.shape == (0, 7, 7)
    assert output.stream_weights.shape == (0, 2)


def test_pieces_of_a_large_batch_keep_their_order(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, context = inputs(5)
    whole = runtime(face, context)
    monkeypatch.setattr(runtime, "largest_batch", 2)
    pieces = runtime(face, context)
    np.testing.assert_allclose(
        pieces.probabilities, whole.probabilities, rtol=0, atol=tolerance(runtime)
    )
    np.testing.assert_allclose(pieces.attention, whole.attention, rtol=0, atol=tolerance(runtime))


def test_many_contexts_of_the_same_faces_are_answered_as_pair_by_pair(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines may compute the face's half once; a face must keep its own half in every piece."""
    face, context = inputs(5)
    monkeypatch.setattr(runtime, "largest_batch", 2)
    ask = runtime.about(face)
    for contexts in (context, context[::-1].copy(), np.zeros_like(context)):
        ours, theirs = ask(contexts), runtime(face, contexts)
        assert max_abs_diff(ours, theirs) <= tolerance(runtime) / 10


def test_contexts_that_do_not_fit_the_faces_are_refused(runtime: Runtime) -> None:
    face, context = inputs(3)
    ask = runtime.about(face)
    with pytest.raises(DataError, match="3 faces but 2 contexts"):
        ask(context[:2])
    with pytest.raises(DataError, match="not finite"):
        ask(np.full_like(context, np.nan))
    assert len(runtime.about(face[:0])(context[:0]).probabilities) == 0


def test_a_network_that_never_sees_the_face_has_no_half_to_keep(tmp_path: Path) -> None:
    network = lively_network(NetworkConfig(variant=Variant.CONTEXT_ONLY))
    save_network(tmp_path / "c.safetensors", network, Metadata("c", network=network.config))
    export_onnx(
        tmp_path / "c.safetensors", tmp_path / "c.onnx", ExportConfig(batch=BatchRange(1, 2, 3))
    )
    face, context = inputs(2)
    for name in ("c.safetensors", "c.onnx"):
        runtime = open_runtime(tmp_path / name, device="cpu", threads=1)
        assert max_abs_diff(runtime.about(face)(context), runtime(face, context)) < 1e-6


def test_a_later_call_does_not_write_over_an_earlier_answer(runtime: Runtime) -> None:
    first = runtime(*inputs(2, seed=1))
    kept = [values.copy() for values in first]
    runtime(*inputs(2, seed=2))
    runtime(*inputs(5, seed=3))
    for before, now in zip(kept, first, strict=True):
        np.testing.assert_array_equal(before, now)


def test_threads_that_share_a_runtime_get_their_own_answers(runtime: Runtime) -> None:
    batches = [inputs(2, seed=seed) for seed in range(4)]
    alone = [runtime(*batch) for batch in batches]

    def ask_often(number: int) -> float:
        answers = (runtime(*batches[number]) for _ in range(25))
        return max(max_abs_diff(answer, alone[number]) for answer in answers)

    settings = cudnn_settings()
    with ThreadPoolExecutor(len(batches)) as threads:
        differences = list(threads.map(ask_often, range(len(batches))))
    assert max(differences) <= tolerance(runtime) / 10
    assert cudnn_settings() == settings


def cudnn_settings() -> tuple[bool, bool, bool]:
    """What is set for the process, which no runtime may leave otherwise."""
    cudnn = torch.backends.cudnn
    return cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32


def test_faces_that_are_asked_about_are_kept_when_their_array_is_filled_anew(
    runtime: Runtime,
) -> None:
    face, context = inputs(2)
    expected = runtime(face, context)
    buffer = face.copy()
    ask = runtime.about(buffer)
    buffer[:] = 0.5
    assert max_abs_diff(ask(context), expected) <= tolerance(runtime) / 10


def test_an_onnx_file_may_go_or_be_replaced_while_it_answers(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The halves of the network are read at the first question about a face."""
    face, context = inputs(2)
    monkeypatch.chdir(tmp_path)
    for change in (Path.unlink, lambda path: shutil.copy(find_weights("glamor-original"), path)):
        (tmp_path / "mine.onnx").write_bytes(files[".onnx"].read_bytes())
        runtime = open_runtime("mine.onnx", device="cpu", threads=1)
        change(Path("mine.onnx"))
        answer = runtime.about(face)(context)
        assert max_abs_diff(answer, runtime(face, context)) <= 1e-6


def test_an_onnx_file_is_found_again_from_another_folder(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    face, context = inputs(2)
    monkeypatch.chdir(files[".onnx"].parent)
    runtime = open_runtime(files[".onnx"].name, device="cpu", threads=1)
    monkeypatch.chdir(tmp_path)
    assert max_abs_diff(runtime.about(face)(context), runtime(face, context)) <= 1e-6


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_files_whose_names_are_no_unicode_are_opened(
    files: dict[str, Path], tmp_path: Path, runtime: Runtime
) -> None:
    if runtime.backend.startswith("tensorrt"):
        pytest.skip("engines are read by Python")
    face, context = inputs(2)
    suffix = ".safetensors" if runtime.backend == "torch" else ".onnx"
    path = tmp_path / os.fsdecode(b"caf\xe9" + suffix.encode())
    shutil.copy(files[suffix], path)
    provider = Provider.OPENVINO if runtime.backend == "openvino" else None
    opened = open_runtime(path, device=runtime.device, provider=provider)
    expected = runtime(face, context)
    assert max_abs_diff(opened(face, context), expected) <= tolerance(runtime)
    assert max_abs_diff(opened.about(face)(context), expected) <= tolerance(runtime)


def test_the_runtime_says_what_truly_ran(runtime: Runtime, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["runtime"]
    assert runtime.device == ("cuda" if needs_gpu(name) else "cpu")
    if name in ("CPUExecutionProvider", "CUDAExecutionProvider"):
        assert runtime.provider == name


def test_views_and_read_only_arrays_are_taken(runtime: Runtime) -> None:
    face, context = inputs(2)
    face.flags.writeable = False
    expected = runtime(face.copy(), context)
    channels_last = np.ascontiguousarray(context.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    output = runtime(face, channels_last)
    np.testing.assert_allclose(
        output.probabilities, expected.probabilities, rtol=0, atol=tolerance(runtime)
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda face, context: (face[0], context[0]), "face is float32"),
        (lambda face, context: (context, face), "face is float32"),
        (lambda face, context: (face.astype(np.float64), context), "face is float64"),
        (lambda face, context: (face, (context * 255).astype(np.uint8)), "context is uint8"),
        (lambda face, context: (face.transpose(0, 2, 3, 1), context), "not float32"),
        (lambda face, context: (face[:1], context), "1 faces but 2 contexts"),
        (lambda face, context: (face, np.full_like(context, np.nan)), "context holds values"),
        (lambda face, context: (np.full_like(face, np.inf), context), "face holds values"),
        (lambda face, context: (face * 255, context), "face holds values from 0"),
        (lambda face, context: (face, context * 2 - 1), "context holds values from -"),
        (lambda face, context: (face.tolist(), context), "face is list, not a NumPy array"),
    ],
)
def test_unusable_inputs_are_refused_by_name(runtime: Runtime, spoil, says: str) -> None:
    with pytest.raises(DataError, match=says):
        runtime(*spoil(*inputs(2)))


def test_impossible_threads_are_refused(files: dict[str, Path]) -> None:
    for path in files.values():
        with pytest.raises(ConfigError, match="threads must be at least 1, not 0"):
            open_runtime(path, device="cpu", threads=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_cuda_where_there_is_none_is_an_error_and_never_the_cpu(files: dict[str, Path]) -> None:
    for path in files.values():
        with pytest.raises(BackendUnavailable, match="CUDA"):
            open_runtime(path, device="cuda")
    with pytest.raises(BackendUnavailable, match="CUDA"):
        open_runtime(files[".onnx"], provider=Provider.CUDA)


def test_auto_is_the_cpu_where_cuda_opens_and_cannot_compute(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where cuDNN is missing; a session on the CPU stands in for the GPU's."""

    class WithoutCudnn:
        def __init__(self, model: Path, options: onnxruntime.SessionOptions) -> None:
            self._opened = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def run(self, *_: object) -> None:
            raise RuntimeError("NOT_IMPLEMENTED : cuDNN is not available")

        def __getattr__(self, name: str) -> object:
            return getattr(self._opened, name)

    expected = open_runtime(files[".onnx"], device="cpu", threads=1)(*inputs(2))
    monkeypatch.setattr(
        "glamor_cli.runtimes.onnx.try_cuda",
        lambda path, options, **_: (WithoutCudnn(path, options), ""),
    )
    runtime = open_runtime(files[".onnx"], threads=1)
    assert runtime.device == "cpu"
    assert max_abs_diff(runtime(*inputs(2)), expected) == 0
    face, context = inputs(2)
    assert max_abs_diff(runtime.about(face)(context), expected) <= 1e-6
    with pytest.raises(BackendUnavailable, match=r"cannot use CUDA: .*cuDNN is not available"):
        open_runtime(files[".onnx"], device="cuda")


@pytest.mark.skipif(cuda_problem() is None, reason="has CUDA")
def test_auto_is_quietly_the_cpu_where_cuda_cannot_load(files: dict[str, Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from glamor_cli.runtimes.base import open_runtime;"
        "print(open_runtime(Path(sys.argv[1])).provider, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(files[".onnx"])],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.stdout.split() == ["CPUExecutionProvider", "False"]
    assert done.stderr == ""


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="has an NVIDIA driver")
@pytest.mark.skipif(
    "CUDAExecutionProvider" not in onnxruntime.get_available_providers(), reason="CPU build"
)
def test_the_missing_library_is_named(files: dict[str, Path]) -> None:
    with pytest.raises(BackendUnavailable, match=r"libcuda\.so\.1|nvcuda\.dll"):
        open_runtime(files[".onnx"], device="cuda")


def test_damaged_and_foreign_files_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    for suffix, path in files.items():
        truncated = tmp_path / f"truncated{suffix}"
        truncated.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        text = tmp_path / f"text{suffix}"
        text.write_text("not a network")
        empty = tmp_path / f"empty{suffix}"
        empty.touch()
        for damaged in (truncated, text, empty):
            with pytest.raises(CheckpointError):
                open_runtime(damaged, device="cpu")


def test_onnx_of_others_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(files[".onnx"])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="not exported by glamor"):
        open_runtime(tmp_path / "foreign.onnx", device="cpu")

    model = onnx.load(files[".onnx"])
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "face":
                node.input[index] = "image"
    model.graph.input[0].name = "image"
    onnx.save(model, tmp_path / "renamed.onnx")
    with pytest.raises(CheckpointError, match="takes image, context"):
        open_runtime(tmp_path / "renamed.onnx", device="cpu")


@pytest.mark.parametrize("encoder", list(Encoder))
def test_folding_keeps_the_answer_and_the_original(encoder: Encoder) -> None:
    # In float64: how float32 rounds depends on the CPU's instructions.
    network = lively_network(NetworkConfig(encoder=encoder)).double()
    folded = fold_batch_norms(network)
    face, context = (torch.from_numpy(values).double() for values in inputs(2))
    with torch.inference_mode():
        expected, output = network(face, context), folded(face, context)
    torch.testing.assert_close(output.logits, expected.logits, rtol=0, atol=1e-9)
    torch.testing.assert_close(output.attention, expected.attention, rtol=0, atol=1e-9)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())


def test_half_precision_on_the_cpu_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="half precision"):
        TorchRuntime(files[".safetensors"], device="cpu", precision=TorchPrecision.FP16)


def test_precisions_that_a_file_cannot_have_are_refused(files: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="fp8"):
        open_runtime(files[".safetensors"], device="cpu", precision="fp8")
    with pytest.raises(ConfigError, match=r"precision of .* is fixed"):
        open_runtime(files[".onnx"], device="cpu", precision="fp16")


def test_metadata_that_is_not_utf8_is_a_damaged_file(
    tmp_path: Path, files: dict[str, Path]
) -> None:
    """Found by fuzzing: ONNX Runtime hands such names to Python only when they are asked for."""
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(files[".onnx"].read_bytes().replace(b'"lively"', b'"liv\xa0ly"'))
    with pytest.raises(CheckpointError, match="not UTF-8"):
        open_runtime(damaged, device="cpu")


@pytest.mark.parametrize("provider", [Provider.CPU, Provider.OPENVINO])
def test_a_batch_that_fails_on_the_cpu_is_not_sent_there(
    files: dict[str, Path], tmp_path: Path, provider: Provider
) -> None:
    if provider is Provider.OPENVINO:
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    model = onnx.load(files[".onnx"])
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "alone.onnx")
    runtime = open_runtime(tmp_path / "alone.onnx", provider=provider, threads=1)
    faces, contexts = np.zeros((2, 3, 96, 96), "f"), np.zeros((2, 3, 112, 112), "f")
    why = r"fails on a batch of 2 .*(\[1,|Expected: 1)"
    for ask in (lambda: runtime(faces, contexts), lambda: runtime.about(faces)(contexts)):
        with pytest.raises(BackendUnavailable, match=why) as failed:
            ask()
        assert failed.value.remedy == "Give a smaller batch."


_ASK_WITHOUT_MEMORY = """
import sys, resource
import numpy as np
from glamor_cli.errors import BackendUnavailable
from glamor_cli.runtimes.base import open_runtime
runtime = open_runtime(sys.argv[1], device="cpu", threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, resource.RLIM_INFINITY))
faces, contexts = np.zeros((64, 3, 96, 96), "f"), np.zeros((64, 3, 112, 112), "f")
for ask in (lambda: runtime(faces, contexts), lambda: runtime.about(faces)):
    try:
        ask()
    except BackendUnavailable as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_batch_that_torch_has_no_memory_for_is_an_error_that_says_so(
    files: dict[str, Path],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASK_WITHOUT_MEMORY, str(files[".safetensors"])],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("torch fails on a batch of 64 (cpu)") == 2
    assert done.stdout.count("Give a smaller batch.") == 2
