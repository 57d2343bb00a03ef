"""Measure how long the commands take from nothing: whole processes, in interleaved rounds.

    uv run python benchmarks/startup.py

Writes ``benchmarks/results/startup-<hardware>.json``. The files are in the system's cache and
compiled to bytecode, as from the second run on. Where other work shares the machine, the least
wall time and the CPU seconds tell more than the median.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from preprocess import make_images
from recording import RESULTS, record, run_process, time_processes


def main() -> None:
    """Run every command in turn, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (photograph,) = make_images(Path(folder) / "images", 1)
        glamor = [sys.executable, "-m", "glamor_cli"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import glamor_cli'": [sys.executable, "-c", "import glamor_cli"],
            "glamor --version": [*glamor, "--version"],
            "glamor --help": [*glamor, "--help"],
            "glamor predict --help": [*glamor, "predict", "--help"],
            "glamor predict one.jpg": [*glamor, "predict", photograph],
        }
        for command in commands.values():
            run_process(command)
        figures = time_processes(commands, options.rounds, 3)
    record("startup", {"rounds": options.rounds, "commands": figures}, options.out)


if __name__ == "__main__":
    main()
