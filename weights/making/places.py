"""Where the programs that make weights put what they made and what they measured."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]

WEIGHTS = _ROOT / "weights"
RESULTS = _ROOT / "benchmarks" / "results"
