"""The machine itself: its CPU and GPU, Python, and where temporary files go."""

import platform
import tempfile
from collections.abc import Iterator

from glamor_cli.counts import count
from glamor_cli.doctor.findings import Finding, FindingStatus
from glamor_cli.errors import reason_of
from glamor_cli.system.cpus import available_cpus, cpu_flags
from glamor_cli.system.extras import TEMPORARY_FILES
from glamor_cli.system.gpus import Driver


def describe_machine(driver: Driver) -> Iterator[Finding]:
    """Say what the machine is."""
    flags = cpu_flags()
    known = f", {' '.join(flags)}" if flags else ""
    detail = f"{platform.machine()}, {count(available_cpus(), 'core')}{known}"
    yield Finding("machine", "CPU", FindingStatus.OK, detail)
    python = f"{platform.python_version()} on {platform.system()}"
    yield Finding("machine", "Python", FindingStatus.OK, python)
    yield _temporary_files()
    yield _gpu(driver)


def _temporary_files() -> Finding:
    status, remedy = FindingStatus.OK, ""
    try:
        detail = f"in {tempfile.gettempdir()}"
    except OSError as error:
        status, detail, remedy = FindingStatus.BROKEN, reason_of(error), TEMPORARY_FILES
    return Finding("machine", "temporary files", status, detail, remedy)


def _gpu(driver: Driver) -> Finding:
    if not driver.gpus:
        remedy = "Needed only to run on a GPU: install an NVIDIA driver (580 or newer for CUDA 13)."
        return Finding("machine", "NVIDIA GPU", FindingStatus.MISSING, driver.problem, remedy)
    names = ", ".join(f"{gpu.name} ({gpu.architecture})" for gpu in driver.gpus)
    detail = f"{names}; driver for CUDA {driver.cuda}"
    return Finding("machine", "NVIDIA GPU", FindingStatus.OK, detail)
