"""Float32 is what is computed in, and a program around finds torch's switches as it left them."""

import subprocess
import sys

import pytest
import torch

from glamor_cli.system.exact_float32 import exact_float32, exact_float32_for_compilers


@pytest.mark.parametrize(
    "allowing",
    [
        "pass",
        "backends.cudnn.allow_tf32 = False",
        "backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('high')",
        "torch.set_float32_matmul_precision('medium')",
        "backends.fp32_precision = 'tf32'",
        "backends.mkldnn.conv.fp32_precision = 'bf16'",
        "backends.cudnn.conv.fp32_precision = 'ieee'",
    ],
)
def test_float32_is_float32_whatever_the_program_around_allows(allowing: str) -> None:
    """In a process of its own, because what torch's switches allow is the whole process's."""
    code = f"""
import torch
from torch import backends
from glamor_cli.system.exact_float32 import exact_float32

def state():
    cudnn, on_cpu = backends.cudnn, backends.mkldnn
    parts = (cudnn.conv, cudnn.rnn, backends.cuda.matmul, on_cpu.conv, on_cpu.matmul)
    return [part.fp32_precision for part in parts]

def older():
    said = []
    for read in (
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    ):
        try:
            said.append(read())
        except RuntimeError:  # the newer ones alone were changed
            said.append(None)
    return said

{allowing}
before, older_before = state(), older()
with exact_float32():
    assert state() == ["ieee"] * 5, state()
    for inside, outside in zip(older(), older_before, strict=True):
        # A callback of a training, or another thread, may read what it could read before.
        assert inside in (False, "highest") or outside is None, (inside, outside)
    if older_before[0] is not None:
        with backends.cudnn.flags(enabled=False):
            pass
assert state() == before, state()
assert older() == older_before, older()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compilers_may_ask_for_the_older_switches() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    with exact_float32_for_compilers(), exact_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    assert (torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()) == before
