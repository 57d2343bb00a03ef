"""How many CPUs there are for this process, and what they can do."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_GROUPS = Path("/proc/self/cgroup")
_MOUNT = Path("/sys/fs/cgroup")
_NO_QUOTA = {"max", "-1"}


def available_cpus() -> int:
    """Count the CPUs that this process may use: those it may run on, or its container's quota."""
    return max(1, math.ceil(min(_cores(), cpu_quota())))


def quota_threads() -> int | None:
    """Say how many threads an engine should have because of a quota.

    Engines count cores, and not the time that a quota leaves of them.

    Returns:
        None where no quota leaves less than the cores, or where ``OMP_NUM_THREADS`` is set, which
        torch heeds; ONNX Runtime counts cores then.
    """
    if "OMP_NUM_THREADS" in os.environ or cpu_quota() >= _cores():
        return None
    return available_cpus()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(groups: Path = _GROUPS, mount: Path = _MOUNT) -> float:
    """Say how many CPUs' time Linux's control groups leave this process; infinity for no limit.

    ``docker --cpus`` and Kubernetes set such quotas, which no other count of CPUs shows.

    Args:
        groups: Names the process's groups, as proc(5) has it.
        mount: Where control groups are mounted, of version 1 or 2.
    """
    return min((_read_quota(folder) for folder in _cpu_groups(groups, mount)), default=math.inf)


def _cpu_groups(groups: Path, mount: Path) -> Iterator[Path]:
    """Give the folders of the groups that may limit the CPU, and of those around them."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        inside = PurePosixPath(path.lstrip("/"))
        # A container may see its own group as the root, whatever it is called outside.
        for folder in (inside, *inside.parents):
            yield mount / controllers / folder


def _read_quota(folder: Path) -> float:
    """Read a group's quota in CPUs; infinity where it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            text = " ".join((folder / name).read_text(encoding="utf-8") for name in names)
        except OSError:
            continue
        quota, period, *_ = text.split()
        return math.inf if quota in _NO_QUOTA else int(quota) / int(period)
    return math.inf


def cpu_flags() -> list[str]:
    """Which of the instructions that decide speed this CPU has (known on Linux only)."""
    try:
        known = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [flag for flag in _FLAGS if flag in known]
