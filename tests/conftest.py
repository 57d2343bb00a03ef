"""What all tests share."""

import os
import signal
import sys

import pytest

# Tests run on all cores already; torch's and OpenMP's own threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch looks at this when it first calls cuBLAS, which may be long before the test that needs it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# Containers often set it; every command that a test starts would compile torch's modules anew, for
# longer than it works.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's background job ignores Ctrl-C and hands that down to the processes the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So may whoever started them, as nohup does.
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

pytest_plugins = ["data_fixtures"]


def pytest_configure(config: pytest.Config) -> None:
    """Show GPUs only to the tests that are for them: `pytest -m gpu`.

    The others leave the device open, and compare to the bit what no GPU promises.
    """
    wanted = config.option.markexpr.replace("not gpu", "")
    if "gpu" not in wanted:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_report_header(config: pytest.Config) -> str:
    """Say so, because a skipped test says only that there is no GPU."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return f"GPUs: {'hidden; -m gpu runs the tests for them' if hidden else 'as they are'}"


@pytest.hookimpl(trylast=True)  # what ``-m`` leaves out does not count
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: one that comes last keeps the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
