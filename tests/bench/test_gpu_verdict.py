"""A GPU is at hand for minutes: its result must say by itself whether the bounds are reached."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from waiting import wait_until


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import gpu_verdict

    return gpu_verdict


def row(backend: str, milliseconds: float | None, batch: int = 32, **figures: object) -> dict:
    known = {"backend": backend, "batch": batch, "precision": "fp16", "provider": "cuda"}
    known["max_abs_diff"] = 2e-3
    return known | {"device_p50_ms": milliseconds} | figures


def result() -> dict[str, dict]:
    return {
        "launch": {"result": {"device_p50_ms": 0.004, "graph_device_p50_ms": 0.002}},
        "core": {
            "result": [
                row("fused", 0.001, batch=1),
                row("fused", 0.002, precision="bf16"),
                row("eager", 0.15),
                row("fused", 0.014, provider="launch", floor_ms=0.001),
                row("fused", 0.010, provider="graph", floor_ms=0.001),
            ]
        },
        "core_compiled": {
            "failed": "the time was up",
            "result": [
                # Not tuned yet at the next batch size, when it was stopped.
                row("compile", 0.001, provider="reduce-overhead", batch=1),
                row("compile", 0.04, provider="reduce-overhead"),
                row("fused", 0.0125),
                row("compile", 0.025, provider="max-autotune"),
                row("fused", 0.0125),
            ],
        },
        "network": {
            "result": [
                row("eager", 0.9),
                row("fused", 0.3),
                row("fused", 2.0, batch=256, floor_ratio=4.5),
            ]
        },
        "network_compiled": {
            "result": [
                row("compile", 0.6, provider="reduce-overhead"),
                row("compile", 0.7, provider="max-autotune"),
                row("fused", 0.3, provider="fused"),
            ]
        },
    }


def test_each_figure_is_set_against_its_bound(verdict: ModuleType) -> None:
    found = verdict.judge(result())
    assert {name: finding.pop("value") for name, finding in found.items()} == pytest.approx(
        {
            "core_us": 10,
            "core_eager_ratio": 15,
            "core_compile_ratio": 2,
            "core_launch_and_floor_ratio": 10 / 3,
            "network_eager_ratio": 3,
            "network_compile_ratio": 2,
            "network_256_floor_ratio": 4.5,
        }
    )
    assert found == {
        "core_us": {"at_most": 12, "met": True},
        "core_eager_ratio": {"at_least": 10, "met": True},
        "core_compile_ratio": {"at_least": 3, "met": False},
        "core_launch_and_floor_ratio": {"at_most": 3, "met": False},
        "network_eager_ratio": {"at_least": 3, "met": True},
        "network_compile_ratio": {"at_least": 1.3, "met": True},
        "network_256_floor_ratio": {"at_most": 4, "met": False},
    }


def test_what_was_not_measured_is_null(verdict: ModuleType) -> None:
    whole = result()
    without = [{}, {part: {"failed": "exit code 1"} for part in whole}]
    without.append({part: {"result": [row("fused", None), row("eager", None)]} for part in whole})
    without.append({part: {"result": {"skipped": "no time was left"}} for part in whole})
    for parts in without:
        for finding in json.loads(json.dumps(verdict.judge(parts))).values():
            assert finding["value"] is None
            assert finding["met"] is None
    for part in whole:
        values = [f["value"] for f in verdict.judge(result() | {part: {}}).values()]
        assert 0 < values.count(None) < len(values), part


def test_a_fast_answer_that_is_wrong_does_not_count(verdict: ModuleType) -> None:
    for wrong in ({"max_abs_diff": 0.02}, {"max_abs_diff": None}, {"provider": "plain: no Triton"}):
        parts = result()
        for part in ("core", "core_compiled", "network", "network_compiled"):
            for entry in parts[part]["result"]:
                if entry["backend"] == "fused":
                    entry.update(wrong)
        assert {finding["met"] for finding in verdict.judge(parts).values()} == {None}, wrong


def test_the_better_mode_of_the_compiler_is_not_known_while_one_is_missing(
    verdict: ModuleType,
) -> None:
    parts = result()
    for part in ("core_compiled", "network_compiled"):
        rows = parts[part]["result"]
        parts[part]["result"] = [entry for entry in rows if entry["provider"] != "max-autotune"]
    found = verdict.judge(parts)
    assert found["core_compile_ratio"]["value"] is None
    assert found["network_compile_ratio"]["value"] is None
    assert found["core_eager_ratio"]["met"] is True


def test_the_parts_that_the_verdict_needs_always_have_their_time(verdict: ModuleType) -> None:
    import gpu

    first = list(gpu.PARTS.items())[:5]
    assert {name for name, _ in first} == set(result())
    assert sum(seconds for _, (_, seconds) in first) <= gpu.BUDGET_SECONDS


def test_everything_that_wants_a_gpu_is_among_the_tests_that_are_run_there(
    verdict: ModuleType,
) -> None:
    import gpu

    here = Path(__file__)
    tests = [path for path in here.parents[1].rglob("test_*.py") if path != here]
    marked = [path for path in tests if "pytest.mark.gpu" in path.read_text(encoding="utf-8")]
    named = {path.relative_to(here.parents[2]).as_posix() for path in marked}
    assert named == set(gpu.GPU_TESTS)


@pytest.mark.skipif(os.name != "posix", reason="interrupts a process")
def test_tests_whose_time_is_up_say_why_others_have_failed(
    verdict: ModuleType, tmp_path: Path
) -> None:
    """Nobody can ask them again without a GPU."""
    import gpu

    begun = tmp_path / "begun"
    (tmp_path / "test_two.py").write_text(
        "import pathlib, time\n"
        "def test_wrong(): assert 2 < 1\n"
        f"def test_endless(): pathlib.Path({str(begun)!r}).touch(); time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short"]
    with (tmp_path / "said.txt").open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output)
    wait_until(begun.exists, process)
    gpu.end_tests(process)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "assert 2 < 1" in (tmp_path / "said.txt").read_text()


def test_slow_tests_that_are_left_out_do_not_decide_what_comes_first(tmp_path: Path) -> None:
    """The tests on a GPU begin with what is quick, and end where its time is up."""
    (tmp_path / "test_a.py").write_text("def test(): pass\n")
    (tmp_path / "test_b.py").write_text(
        "import pytest\n@pytest.mark.slow\ndef test_slow(): pass\ndef test_quick(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "--collect-only", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-m", "not slow", "test_a.py", "test_b.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[:2] == ["test_a.py::test", "test_b.py::test_quick"], done
