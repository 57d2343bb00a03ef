"""How many CPUs there are, as people give them to containers."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glamor_cli.system.cpus import available_cpus, cpu_quota

V1 = {"cpu,cpuacct/cpu.cfs_quota_us": "{}", "cpu,cpuacct/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("groups", "files", "cpus"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "50000 100000"}, 0.5),
        ("3:cpu,cpuacct:/docker/1\n0::/\n", V1, 1.5),
        ("3:cpu,cpuacct:/\n", V1 | {"cpu,cpuacct/cpu.cfs_quota_us": "-1"}, math.inf),
        ("7:memory:/\n", {"memory/cpu.max": "1 100000"}, math.inf),
        ("0::/gone\n", {}, math.inf),
    ],
)
def test_the_quota_of_a_container_is_found(
    groups: str, files: dict[str, str], cpus: float, tmp_path: Path
) -> None:
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(150_000))
    assert cpu_quota(tmp_path / "groups", tmp_path / "mount") == cpus


SHOW_THREADS = """
import typer
from glamor_cli.cli.runtime_options import ThreadsOption

def show(threads: ThreadsOption = None) -> None:
    print(threads)

typer.run(show)
"""


@pytest.fixture
def half_a_cpu() -> Iterator[Path]:
    """A control group whose processes together may use half of a CPU's time."""
    mount = Path("/sys/fs/cgroup")
    mount = mount / "cpu" if (mount / "cpu").is_dir() else mount
    group = mount / f"glamor-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("makes no control groups here")
    try:
        for name, quota in (("cpu.max", "50000 100000"), ("cpu.cfs_quota_us", "50000")):
            if (group / name).exists():
                (group / name).write_text(quota)
                break
        else:
            pytest.skip("sets no quotas here")
        yield group
    finally:
        group.rmdir()


def test_a_command_takes_no_more_threads_than_its_quota(half_a_cpu: Path) -> None:
    def threads(*options: str, **environment: str) -> str:
        command = f'echo $$ > "{half_a_cpu}/cgroup.procs" && exec "$@"'
        done = subprocess.run(
            ["sh", "-c", command, "sh", sys.executable, "-c", SHOW_THREADS, *options],
            env={key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
            | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert threads() == "1"
    assert threads("--threads", "3") == "3"
    assert threads(OMP_NUM_THREADS="4") == "None"


def test_systems_without_control_groups_have_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "none", tmp_path) == math.inf
    assert available_cpus() >= 1
