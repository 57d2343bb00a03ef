"""What the benchmark scripts share: naming and writing results, and whole processes' figures."""

import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from turns import in_turn

from glamor_cli.files.atomic import write_text
from glamor_cli.system.environment import Environment, describe_environment

RESULTS = Path(__file__).parent / "results"


def slug(text: object) -> str:
    """Make a part of a file's name: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", str(text).lower()).strip("-")


def hardware(*, gpu: bool = False) -> str:
    """Name this machine for a file: its processor and cores.

    Args:
        gpu: Name its GPU instead, where it has one.
    """
    environment = describe_environment()
    if gpu and environment.gpu:
        return slug(environment.gpu)
    return slug(f"{processor(environment)} {environment.cores} cores")


def processor(environment: Environment) -> str:
    """Name the processor; many virtual ones are called alike, with and without AVX-512 or AMX."""
    known = environment.instructions.split()
    kind = "amx" if "amx_int8" in known else "avx512" if "avx512f" in known else ""
    return f"{environment.cpu} {kind}".rstrip()


def write_result(
    path: Path,
    figures: dict[str, Any],
    environment: dict[str, Any] | None = None,
    *,
    allow_nan: bool = True,
) -> str:
    """Write a result as JSON, the environment first.

    Args:
        path: The file.
        figures: What was measured.
        environment: Where; None describes this machine.
        allow_nan: Else what is not a finite number is an error.

    Returns:
        The JSON.
    """
    environment = environment or describe_environment().to_dict()
    result = {"environment": environment, **figures}
    text = json.dumps(result, indent=2, allow_nan=allow_nan)
    write_text(path, text + "\n")
    return text


def record(what: str, figures: dict[str, Any], folder: Path) -> None:
    """Write ``<what>-<hardware>.json`` and print it."""
    print(write_result(folder / f"{what}-{hardware()}.json", figures))


def summary(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Least, median and largest."""
    parts = {"min": min(values), "p50": statistics.median(values), "max": max(values)}
    return {name: round(value, digits) for name, value in parts.items()}


def time_processes(
    commands: Mapping[str, Sequence[str | Path]], rounds: int, digits: int = 2
) -> dict[str, dict[str, dict[str, float]]]:
    """Run commands to their ends in interleaved rounds; give their seconds of wall and of CPU."""
    wall: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name in in_turn(commands, turn):
            took, used = run_process(commands[name])
            wall[name].append(took)
            cpu[name].append(used)
    return {
        name: {
            "wall_seconds": summary(wall[name], digits),
            "cpu_seconds": summary(cpu[name], digits),
        }
        for name in commands
    }


def run_process(command: Sequence[str | Path]) -> tuple[float, float]:
    """Run a command to its end, its output thrown away; it must succeed.

    Bytecode is kept between runs, as everywhere but in containers that forbid it.

    Returns:
        Its seconds of wall and of CPU.
    """
    variables = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime
