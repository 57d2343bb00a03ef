"""The core in one launch must answer what the network does, in every precision and layout."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glamor_cli.network.config import FEATURE_MAPS, Encoder, NetworkConfig, Variant
from glamor_cli.network.fused_core import (
    FusedCore,
    choose_launch,
    constants,
    fused_core_problem,
    unsupported,
)
from glamor_cli.network.glamor_net import GlamorNet

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is for Linux"
)
OUTPUTS = ("logits", "probabilities", "attention", "stream_weights")
LARGEST_DISTANCE = {"float32": 1e-6, "float16": 2e-3, "bfloat16": 1.5e-2}
"""Relative to float64 on the same maps: rounding of weights and pooled vectors, and no more."""
LAYOUTS = (
    (Encoder.ORIGINAL, "fp32", 1),
    (Encoder.ORIGINAL, "fp16", 1),
    (Encoder.ORIGINAL, "fp16", 2),
    (Encoder.RESNET18, "fp32", 1),
    (Encoder.RESNET18, "fp32", 2),
    (Encoder.RESNET18, "fp32", 4),
    (Encoder.RESNET18, "fp16", 1),
    (Encoder.RESNET18, "fp16", 2),
    (Encoder.RESNET18, "fp16", 4),
    (Encoder.RESNET18, "fp16", 8),
)
"""Encoder, numbers and samples of every layout that is chosen; bfloat16's are float16's."""
POSITIONS = {Encoder.ORIGINAL: (36, 49), Encoder.RESNET18: (9, 16)}
"""Of the face's and of the context's feature map."""


@pytest.fixture(scope="module")
def measured() -> dict[str, list[dict[str, object]]]:
    """Run the cases in a process, because the interpreter is chosen when Triton is imported."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fused_core_cases.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_triton
def test_every_case_agrees_with_float64_on_fresh_inputs(
    measured: dict[str, list[dict[str, object]]],
) -> None:
    cases = measured["distances"]
    assert {case["dtype"] for case in cases} == set(LARGEST_DISTANCE)
    for case in cases:
        for output in OUTPUTS:
            # Written so that NaN, which unwritten outputs hold, fails.
            assert case[output] <= LARGEST_DISTANCE[case["dtype"]], (case, output)


@needs_triton
def test_feature_maps_that_overflowed_get_no_answer(
    measured: dict[str, list[dict[str, object]]],
) -> None:
    """A maximum that drops NaN would make a confident answer of it."""
    assert len(measured["poisoned"]) == 4
    for case in measured["poisoned"]:
        for output in ("logits", "attention", "stream_weights"):
            assert case[output] == {"eager": [True, False], "fused": [True, False]}, (case, output)


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "encoder", "dtype", "samples"),
    [
        *((80, *layout) for layout in LAYOUTS),
        # Those that come nearest to spilling there.
        (90, Encoder.ORIGINAL, "fp32", 1),
        (90, Encoder.RESNET18, "fp32", 4),
        (90, Encoder.RESNET18, "fp16", 8),
        (90, Encoder.ORIGINAL, "bf16", 1),
        (120, Encoder.RESNET18, "fp16", 8),
    ],
)
def test_it_compiles_to_overlapping_loads_without_spilling_registers(
    architecture: int,
    encoder: Encoder,
    dtype: str,
    samples: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A spilled register costs a trip to memory in the middle of the products."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from glamor_cli.network.fused_kernel import attention_fusion_kernel as kernel

    face_positions, positions = POSITIONS[encoder]
    kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[dtype]
    launch = choose_launch(samples, positions, kind, processors=1)
    assert launch.samples == samples
    # Channels last: a stride of one is compiled in, as the launcher does.
    fixed = constants(NetworkConfig(encoder), face_positions, positions, launch) | {
        "WIDEN": False,
        "face_channel_stride": 1,
        "context_channel_stride": 1,
    }
    types = {"face_map": dtype, "context_map": dtype, "matrices": dtype}
    plain = ("vectors", "classifier", "probabilities", "logits", "attention", "stream_weights")
    types |= dict.fromkeys(plain, "fp32")
    signature = dict.fromkeys(kernel.arg_names, "i32")
    signature |= {name: f"*{kind}" for name, kind in types.items()}
    signature |= {"fusion_bias": "fp32", "inverse_temperature": "fp32"}
    signature |= dict.fromkeys(fixed, "constexpr")
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, name in enumerate(kernel.arg_names)
        if name not in fixed and (name in types or name.endswith("stride"))
    }
    compiled = triton.compile(
        ASTSource(kernel, signature, fixed, aligned),
        target=GPUTarget("cuda", architecture, 32),
        options={
            "num_warps": launch.warps,
            "num_stages": launch.stages,
            "enable_fp_fusion": True,
        },
    )
    assert compiled.metadata.shared <= 99 * 1024, "the smallest limit of Ampere and later"
    # How many loads may be under way when a step's own have arrived; at the loops' ends, none.
    waits = re.findall(r"async_wait .*num = (\d+)", compiled.asm["ttgir"])
    assert sum(int(wait) > 0 for wait in waits) >= 3, "in each of three loops"
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    report = subprocess.run(
        [tools / "cuobjdump", "-res-usage", binary], capture_output=True, text=True, check=True
    ).stdout
    stack = re.search(r"STACK:(\d+)", report)
    assert stack is not None, report
    assert int(stack[1]) == 0, report


def test_channels_that_are_no_whole_number_of_steps_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An encoder of 120 channels would be multiplied with what lies behind its weights."""
    found = replace(FEATURE_MAPS[Encoder.ORIGINAL], channels=120)
    monkeypatch.setitem(FEATURE_MAPS, Encoder.ORIGINAL, found)
    assert unsupported(NetworkConfig()) == "120 channels are not a multiple of 32"


def test_what_it_cannot_compute_is_said() -> None:
    assert "face-only" in unsupported(NetworkConfig(variant=Variant.FACE_ONLY))
    assert "hidden width of 100" in unsupported(NetworkConfig(hidden=100))
    assert unsupported(NetworkConfig()) is None
    with pytest.raises(ValueError, match="context-only"):
        FusedCore(GlamorNet(NetworkConfig(variant=Variant.CONTEXT_ONLY)), 1.0, torch.float32)
    core = FusedCore(GlamorNet().eval(), 1.0, torch.float32)
    face, context = torch.rand(2, 256, 6, 6), torch.rand(2, 256, 7, 7)
    with pytest.raises(ValueError, match="2 face maps but 1"):
        core(face, context[:1])
    with pytest.raises(ValueError, match=r"face_map is \[2, 128"):
        core(face[:, :128], context)
    with pytest.raises(ValueError, match=r"context_map is torch\.float16"):
        core(face, context.half())
    assert core(face[:0], context[:0]).attention.shape == (0, 7, 7)


def test_large_batches_share_the_weights_and_fit_the_registers() -> None:
    half = torch.float16
    assert choose_launch(1, 49, half, 132).samples == 1
    assert choose_launch(132, 49, half, 132).samples == 1
    assert choose_launch(133, 49, half, 132).samples == 2
    assert choose_launch(10_000, 49, half, 132).samples == 2
    assert choose_launch(10_000, 16, half, 132).samples == 8
    assert choose_launch(10_000, 49, torch.float32, 132).samples == 1
    assert choose_launch(10_000, 16, torch.float32, 132).samples == 4


@pytest.mark.gpu
@pytest.mark.skipif(fused_core_problem() is not None, reason=str(fused_core_problem()))
@pytest.mark.skipif("TRITON_INTERPRET" in os.environ, reason="interpreted")
@pytest.mark.parametrize(
    ("encoder", "batch", "processors"),
    [
        (Encoder.ORIGINAL, 1, None),
        (Encoder.ORIGINAL, 3, None),
        (Encoder.ORIGINAL, 33, None),
        (Encoder.ORIGINAL, 256, None),
        (Encoder.ORIGINAL, 1000, None),
        (Encoder.RESNET18, 3, None),
        # As on a GPU of so few: with 1, 2, 4 and 8 samples a program, where they have the room.
        (Encoder.RESNET18, 33, 33),
        (Encoder.RESNET18, 33, 17),
        (Encoder.RESNET18, 33, 9),
        (Encoder.RESNET18, 33, 5),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_agrees_on_a_gpu(
    encoder: Encoder, batch: int, processors: int | None, dtype: torch.dtype
) -> None:
    import copy

    torch.manual_seed(batch)
    config = NetworkConfig(encoder)
    network = GlamorNet(config).eval()
    face_size, size = (3, 4) if encoder is Encoder.RESNET18 else (6, 7)
    launch = None
    if processors is not None:
        launch = choose_launch(batch, size * size, dtype, processors)
    for layout in (torch.contiguous_format, torch.channels_last):
        face = torch.rand(batch, config.channels, face_size, face_size).to(dtype)
        context = torch.rand(batch, config.channels, size, size).to(dtype)
        with torch.inference_mode():
            exact = copy.deepcopy(network).double().answer(face.double(), context.double())
        core = FusedCore(network, 1.0, dtype).cuda()
        out = core.allocate(batch, size, size)
        for values in out:
            values.fill_(torch.nan)
        core(
            face.cuda().contiguous(memory_format=layout),
            context.cuda().contiguous(memory_format=layout),
            out=out,
            launch=launch,
        )
        torch.cuda.synchronize()
        for ours, theirs in ((out.logits, exact.logits), (out.attention, exact.attention)):
            distance = (ours.cpu().double() - theirs).norm() / theirs.norm()
            limit = LARGEST_DISTANCE[str(dtype).removeprefix("torch.")]
            assert distance <= limit * (10 if dtype is torch.float32 else 1)
