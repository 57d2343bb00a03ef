"""Where a benchmark ran: without it the figures mean nothing."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from glamor_cli import __version__
from glamor_cli.cpus import available_cpus, cpu_flags
from glamor_cli.runtimes.gpus import query_driver

_PACKAGES = (
    "torch",
    "triton",
    "onnxruntime-gpu",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "numpy",
    "pillow",
)


def describe_environment() -> dict[str, str | int | float | None]:
    """Describe the machine, its load and the versions that matter."""
    facts: dict[str, str | int | float | None] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "glamor": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "cpu": _cpu_name(),
        "cores": available_cpus(),
        "instructions": " ".join(cpu_flags()),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": _gpu_name(),
    }
    for package in _PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return facts


def _cpu_name() -> str:
    """Read the processor's name where Linux tells it."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpu_name() -> str | None:
    """Name the first GPU, if there is one."""
    gpus = query_driver().gpus
    return gpus[0].name if gpus else None
