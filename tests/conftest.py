"""What all tests share."""

import os
import signal

import pytest

# Tests run on all cores already; torch's and OpenMP's own threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# torch looks at this when it first calls cuBLAS, which may be long before the test that needs it.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# A shell's background job ignores Ctrl-C and hands that down to the processes the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# So may whoever started them, as nohup does.
for name in ("SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

pytest_plugins = ["data_fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: one that comes last keeps the others waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
