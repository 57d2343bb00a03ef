"""Trying everything once, in the order in which it is shown."""

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from glamor_cli import __version__
from glamor_cli.doctor.engines import try_detectors, try_engines, try_providers
from glamor_cli.doctor.findings import Examination
from glamor_cli.doctor.machine import describe_machine
from glamor_cli.doctor.packages import BASE, EXTRAS, try_base, try_extras
from glamor_cli.doctor.weights import check_weights
from glamor_cli.system.extras import installed_version
from glamor_cli.system.gpus import query_driver


def examine() -> Examination:
    """Try everything once. Takes some seconds; prints nothing, whatever libraries say."""
    with _silence():
        driver = query_driver()
        rows = [
            *describe_machine(driver),
            *try_base(driver),
            *try_providers(),
            *try_engines(driver),
            *try_detectors(),
            *try_extras(),
            *check_weights(),
        ]
    names = (*BASE, "onnxruntime-gpu", "onnxruntime", *EXTRAS)
    versions = {"glamor": __version__, "python": platform.python_version()}
    versions |= {name: known for name in names if (known := installed_version(name)) is not None}
    return Examination(tuple(rows), versions)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard what libraries write, through Python or past it."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    try:
        with Path(os.devnull).open("w") as nowhere:
            for descriptor in (1, 2):
                os.dup2(nowhere.fileno(), descriptor)
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
    finally:
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
