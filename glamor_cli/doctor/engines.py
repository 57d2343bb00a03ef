"""What runs networks and finds faces: providers of ONNX Runtime, other engines, detectors."""

from collections.abc import Iterator

import numpy as np

from glamor_cli.doctor.findings import Finding, FindingStatus, problem_of
from glamor_cli.errors import BackendUnavailable, GlamorError
from glamor_cli.runtimes.tensorrt_library import Target, load_library
from glamor_cli.system.extras import REINSTALL, importing, install_extra, installed_version
from glamor_cli.system.gpus import Driver
from glamor_cli.system.onnx_library import REINSTALL_ONNX_RUNTIME, load_onnxruntime
from glamor_cli.system.onnx_providers import CPU_PROVIDER, CUDA_PROVIDER, cuda_problem
from glamor_cli.system.onnx_sessions import onnx_reason
from glamor_cli.system.openvino_graphs import load_openvino
from glamor_cli.vision.detectors import open_detector
from glamor_cli.vision.options import DEFAULT_DETECTOR, DetectorKind

_SILENT = 4
_SHAPE = (1, 1, 1, 1)


def try_providers() -> Iterator[Finding]:
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


def try_engines(driver: Driver) -> Iterator[Finding]:
    """Load TensorRT and OpenVINO."""
    yield _tensorrt(Target.TRT, "TensorRT", driver)
    yield _tensorrt(Target.RTX, "TensorRT-RTX", driver)
    try:
        core = load_openvino().Core()
        devices = ", ".join(core.available_devices)
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if "BF16" in capabilities else "float32"
    except Exception as error:
        remedy = f"Optional. {install_extra('openvino')}"
        yield Finding("engines", "OpenVINO", FindingStatus.MISSING, problem_of(error), remedy)
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


def try_detectors() -> Iterator[Finding]:
    """Let each detector look at an image."""
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
