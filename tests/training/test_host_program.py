"""What a training leaves behind in the program that called it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick_training import QUICK, assert_same, config

from glamor_cli.training.trainer import train


def test_a_program_finds_its_torch_as_it_left_it(scene_store: Path, tmp_path: Path) -> None:
    """A loop that draws its folds between trainings would draw the same one every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(123)
        expected = torch.rand(3)
        torch.manual_seed(123)
        train(config(scene_store, tmp_path / "run", replace(QUICK, epochs=1), threads=1))
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_program_whose_tensors_are_of_another_kind_trains_the_same_network(
    scene_store: Path, tmp_path: Path
) -> None:
    """Which another kind would end in torch's errors, or draw otherwise."""
    settings = replace(QUICK, epochs=1)
    train(config(scene_store, tmp_path / "usual", settings))
    torch.set_default_dtype(torch.float64)
    try:
        train(config(scene_store, tmp_path / "other", settings))
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(tmp_path / "usual", tmp_path / "other")


MEMORY = """
import os
from pathlib import Path
import numpy as np
from glamor_cli.training.memory import keep_freed_memory

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

def use_and_free():
    # The small one, made last, lies above the others, which glibc cuts off from the top alone.
    arrays = [np.ones(2**18) for _ in range(100)]
    last = np.ones(100)
    del arrays
    return last, resident()

kept = []
with keep_freed_memory():
    before = resident()
    last, during = use_and_free()
    kept.append(last)
last, after = use_and_free()
print(during - before, after - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_kept_during_a_training_and_not_after_it() -> None:
    said = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    during, after = map(float, said.split())
    assert during > 150, "MiB of 200: the next step would have to fault them in again"
    assert after < 50, "MiB: a program that trains once would keep all it ever used"
