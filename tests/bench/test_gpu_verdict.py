"""A GPU is at hand for minutes: its result must say by itself whether the bounds are reached."""

import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import gpu_verdict

    return gpu_verdict


def row(backend: str, milliseconds: float | None, batch: int = 32, **figures: object) -> dict:
    known = {"backend": backend, "batch": batch, "precision": "fp16", "provider": "cuda"}
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
        "network_compiled": {"result": [row("compile", 0.6), row("fused", 0.3)]},
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


def test_the_parts_that_the_verdict_needs_always_have_their_time(verdict: ModuleType) -> None:
    import gpu

    first = list(gpu.PARTS.items())[:5]
    assert {name for name, _ in first} == set(result())
    assert sum(seconds for _, (_, seconds) in first) <= gpu.BUDGET_SECONDS
