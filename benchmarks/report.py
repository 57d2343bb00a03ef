"""Measure what the report of ``glamor evaluate`` costs: whole processes with and without it.

    uv run python benchmarks/report.py --store PAIRS --split validation

Evaluates with the shipped weights on ONNX Runtime, on all cores, in interleaved rounds. Writes
``benchmarks/results/report-<hardware>.json``: wall and CPU seconds of both, and the size of the
page.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from recording import RESULTS, record, time_processes

from glamor_cli.data.store.pair_store import PairStore
from glamor_cli.evaluation.report import REPORT
from glamor_cli.weights.registry import DEFAULT_WEIGHTS


def main() -> None:
    """Evaluate in turn without and with a report, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    command = [sys.executable, "-m", "glamor_cli", "evaluate", options.store]
    command += ["--split", options.split]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "report"
        commands = {"evaluate": command, "evaluate --report": [*command, "--report", folder]}
        figures = time_processes(commands, options.rounds)
        size = (folder / REPORT).stat().st_size
    pairs = len(PairStore.open(options.store).split(options.split))
    record(
        "report",
        {
            "weights": DEFAULT_WEIGHTS,
            "pairs": pairs,
            "rounds": options.rounds,
            "commands": figures,
            "page_bytes": size,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
