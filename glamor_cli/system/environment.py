"""Where a benchmark ran: without it the figures mean nothing."""

import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from glamor_cli import __version__
from glamor_cli.system.cpus import available_cpus, cpu_flags
from glamor_cli.system.extras import installed_version
from glamor_cli.system.gpus import query_driver

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
_NOT_ON_PAGES = ("triton", "openvino", "tensorrt")


@dataclass(frozen=True)
class Environment:
    """A machine, its load and the versions that matter.

    Attributes:
        time: When it was described, ISO 8601 in UTC.
        glamor: Our version.
        python: Python's.
        platform: The operating system.
        cpu: The processor's name.
        cores: Cores that this process may use.
        instructions: The processor's flags that engines go by, separated by spaces.
        load: Processes that ran or waited in the last minute; None where the system does not tell.
        gpu: The first GPU's name; None without one.
        packages: Versions of those packages that are installed.
    """

    time: str
    glamor: str
    python: str
    platform: str
    cpu: str
    cores: int
    instructions: str
    load: float | None
    gpu: str | None
    packages: dict[str, str]

    def to_dict(self) -> dict[str, str | int | float | None]:
        """As it stands in JSON: packages beside the rest."""
        values: dict[str, str | int | float | None] = asdict(self)
        del values["packages"]
        return values | self.packages

    def facts(self) -> dict[str, str]:
        """Say what computed, on which machine, and when, as a page's last table shows it."""
        versions = {"glamor": self.glamor, "python": self.python} | {
            name: version
            for name, version in self.packages.items()
            # Torch is named only where it computed.
            if name not in _NOT_ON_PAGES and (name != "torch" or "torch" in sys.modules)
        }
        machine = (self.cpu, f"{self.cores} cores", self.gpu, self.platform)
        return {
            "Versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "Machine": ", ".join(filter(None, machine)),
            "Written": self.time.replace("T", " ").replace("+00:00", " UTC"),
        }


def describe_environment() -> Environment:
    """Describe this machine as it is now."""
    gpus = query_driver().gpus
    return Environment(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        glamor=__version__,
        python=platform.python_version(),
        platform=platform.platform(terse=True),
        cpu=_cpu_name(),
        cores=available_cpus(),
        instructions=" ".join(cpu_flags()),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        gpu=gpus[0].name if gpus else None,
        packages={
            name: known for name in _PACKAGES if (known := installed_version(name)) is not None
        },
    )


def _cpu_name() -> str:
    """Read the processor's name where Linux tells it."""
    described = Path("/proc/cpuinfo")
    if described.is_file():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
