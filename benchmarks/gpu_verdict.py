"""Whether a GPU's result reaches what was wanted: arithmetic on the rows of ``gpu.py``.

All times are of the GPU's own clock, in float16. A ratio's two sides are of one part, where they
took turns; the best row of each side counts. Ours counts where its answers are right and the fused
core gave them; torch.compile where each of its modes was measured. What has no rows is None.
"""

from dataclasses import asdict, dataclass
from typing import Any

Parts = dict[str, Any]
"""What each part of ``gpu.py`` found, by its name."""
Row = dict[str, Any]

COMPILE_MODES = ("reduce-overhead", "max-autotune")
"""CUDA graphs; then also tuned, which takes the longer. The faster counts."""
_FURTHEST = 1e-2
"""How far float16's answers may be from float32's."""


@dataclass(frozen=True)
class Finding:
    """A figure and its bound.

    Attributes:
        value: None where it was not measured.
        at_most: What it may be; None where it has a lower bound.
        at_least: What it must be; None where it has an upper bound.
    """

    value: float | None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None where nothing was measured."""
        if self.value is None:
            return None
        if self.at_most is not None:
            return self.value <= self.at_most
        return self.at_least is None or self.value >= self.at_least

    def to_dict(self) -> dict[str, float | bool | None]:
        """As it stands in the result: only the bound that it has."""
        bounds = {name: bound for name, bound in asdict(self).items() if bound is not None}
        return {"value": self.value} | bounds | {"met": self.met}


def judge(parts: Parts) -> dict[str, dict[str, float | bool | None]]:
    """Set what was measured against its bounds.

    Args:
        parts: As ``gpu.py`` writes them; any part, row or figure may be missing.
    """
    core = _fastest(parts, "core", "fused", 32)
    microseconds = None if core is None else core["device_p50_ms"] * 1e3
    largest = _fastest(parts, "network", "fused", 256)
    findings = {
        "core_us": Finding(microseconds, at_most=12),
        "core_eager_ratio": Finding(_ratio(parts, "core", "eager"), at_least=10),
        "core_compile_ratio": Finding(_ratio(parts, "core_compiled", "compile"), at_least=3),
        "core_launch_and_floor_ratio": Finding(_over_launch_and_floor(parts, core), at_most=3),
        "network_eager_ratio": Finding(_ratio(parts, "network", "eager"), at_least=3),
        "network_compile_ratio": Finding(
            _ratio(parts, "network_compiled", "compile"), at_least=1.3
        ),
        "network_256_floor_ratio": Finding(largest and largest.get("floor_ratio"), at_most=4),
    }
    return {name: finding.to_dict() for name, finding in findings.items()}


def _fastest(parts: Parts, part: str, backend: str, batch: int) -> Row | None:
    """Find a backend's fastest row; the fused core's are its launch and its recording."""
    rows = parts.get(part, {}).get("result")
    wanted = {"backend": backend, "batch": batch, "precision": "fp16"}
    timed = [
        row
        for row in (rows if isinstance(rows, list) else ())
        if row.get("device_p50_ms") and wanted.items() <= row.items()
    ]
    if backend == "fused":
        timed = [row for row in timed if _is_right(row)]
    if backend == "compile" and not {row["provider"] for row in timed} >= {*COMPILE_MODES}:
        return None
    return min(timed, key=lambda row: row["device_p50_ms"], default=None)


def _is_right(row: Row) -> bool:
    """Whether the answers are near enough, and not of the plain modules in the core's place."""
    difference = row.get("max_abs_diff")
    is_plain = str(row.get("provider")).startswith("plain")
    return difference is not None and difference <= _FURTHEST and not is_plain


def _ratio(parts: Parts, part: str, backend: str) -> float | None:
    """Another backend's time over ours, at batch 32."""
    theirs, ours = _fastest(parts, part, backend, 32), _fastest(parts, part, "fused", 32)
    if theirs is None or ours is None:
        return None
    return float(theirs["device_p50_ms"] / ours["device_p50_ms"])


def _over_launch_and_floor(parts: Parts, core: Row | None) -> float | None:
    """The core's time over its floor and an empty kernel's, launched or recorded as the core is."""
    empty = parts.get("launch", {}).get("result")
    if core is None or not isinstance(empty, dict):
        return None
    recorded = core.get("provider") == "graph"
    launch = empty.get("graph_device_p50_ms" if recorded else "device_p50_ms")
    floor = core.get("floor_ms")
    if launch is None or floor is None:
        return None
    return float(core["device_p50_ms"] / (launch + floor))
