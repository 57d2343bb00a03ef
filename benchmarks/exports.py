"""What agreement.py and cpu_latency.py share: the exports of one network, and who runs them."""

import dataclasses
import platform
from collections.abc import Iterator
from pathlib import Path

import onnx

from glamor_cli.errors import BackendUnavailable
from glamor_cli.export.onnx_export import load_calibration, make_graph
from glamor_cli.export.options import BatchRange, ExportConfig, ExportPrecision, Int8Form
from glamor_cli.export.tensorrt_build import EngineConfig, build_engine
from glamor_cli.files.atomic import atomic_path
from glamor_cli.files.reading import sha256
from glamor_cli.runtimes.base import open_runtime
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.onnx import OnnxRuntime
from glamor_cli.runtimes.options import Device, Provider
from glamor_cli.runtimes.tensorrt_library import Target
from glamor_cli.system.extras import installed_version
from glamor_cli.weights.network_file import load_network

EXPORTS = {
    "fp32": ExportConfig(ExportPrecision.FP32),
    "fp16": ExportConfig(ExportPrecision.FP16),
    "int8": ExportConfig(ExportPrecision.INT8, calibrate=Path()),
    "int8-tensorrt": ExportConfig(
        ExportPrecision.INT8, calibrate=Path(), int8_form=Int8Form.TENSORRT
    ),
}
"""Every file that ``glamor export`` makes of a network; ``calibrate`` is filled in."""


def export_all(weights: Path, store: Path, folder: Path, *names: str) -> dict[str, Path]:
    """Export the weights in the forms named, or all; INT8 calibrated on the training split.

    What lies in the folder already, of the same weights, is taken as it is.
    """
    files = {}
    network, metadata = load_network(weights)
    folder = folder / sha256(weights)[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or EXPORTS:
        path = folder / f"{name}.onnx"
        files[name] = path
        if path.is_file():
            continue
        config = EXPORTS[name]
        if config.precision is ExportPrecision.INT8:
            config = dataclasses.replace(config, calibrate=store)
        # Not by export_onnx: what is measured must not be thrown away for being outside its bounds.
        calibration = load_calibration(config, metadata.classes)
        with atomic_path(path) as temporary:
            onnx.save(make_graph(network, metadata, config, calibration), temporary)
        print(f"exported {name}, {path.stat().st_size / 1e6:.1f} MB", flush=True)
    return files


def open_all(
    files: dict[str, Path], threads: int | None, *, gpu: bool = True
) -> Iterator[tuple[str, Runtime, str]]:
    """Open every file on every runtime here: the export's name, the runtime, the runtime's name.

    What is not here is said and passed over.

    Args:
        files: From ``export_all``.
        threads: CPU threads; None takes all cores.
        gpu: With the runtimes that need one.
    """
    for name, path in files.items():
        if EXPORTS[name].int8_form is Int8Form.TENSORRT:
            # As the graph says: ONNX Runtime's own INT8 kernels are not what TensorRT will run.
            written = OnnxRuntime(path, device="cpu", threads=threads, optimize=False)
            yield name, written, "onnxruntime as written"
            yield from _open_engines(name, path)
            continue
        for provider in Provider:
            if not gpu and provider.device is not Device.CPU:
                continue
            try:
                runtime = open_runtime(path, provider=provider, threads=threads)
            except BackendUnavailable as error:
                print(f"passed over: {name} on {provider}: {error.what}", flush=True)
                continue
            yield name, runtime, runtime.backend
        if gpu:
            yield from _open_engines(name, path)


def _open_engines(name: str, path: Path) -> Iterator[tuple[str, Runtime, str]]:
    """Build the engines that run here, from all files but the CPU's INT8."""
    if name == "int8":
        return
    for target in Target:
        engine = path.with_name(f"{name}-{target}.engine")
        try:
            build_engine(path, engine, EngineConfig(target, BatchRange(1, 32, 64)))
            runtime = open_runtime(engine)
        except BackendUnavailable as error:
            print(f"passed over: {name} on {target}: {error.what}", flush=True)
            continue
        yield name, runtime, runtime.backend


def versions() -> dict[str, str]:
    """Versions that decide what is measured, besides the environment's."""
    known = {name: installed_version(name) for name in ("onnx", "onnxscript", "tensorrt-rtx")}
    found = {name: version for name, version in known.items() if version is not None}
    return found | {"machine": platform.machine()}
