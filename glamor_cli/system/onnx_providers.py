"""Which ONNX Runtime providers truly load here (they are listed even where they cannot)."""

import contextlib
import ctypes
import io
import sys
from functools import cache
from pathlib import Path
from threading import Lock

from glamor_cli.system.extras import installed_version
from glamor_cli.system.gpus import query_driver
from glamor_cli.system.onnx_library import ONNX_RUNTIME_PACKAGE, load_onnxruntime

CPU_PROVIDER = "CPUExecutionProvider"
CUDA_PROVIDER = "CUDAExecutionProvider"

# Loaded in this order, the first one's symbols open to the second.
_LIBRARIES = {
    "linux": ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"),
    "win32": ("onnxruntime_providers_shared.dll", "onnxruntime_providers_cuda.dll"),
}
_ASKING = Lock()


def cuda_problem() -> str | None:
    """Say why ONNX Runtime cannot load CUDA here, naming the missing library; None if it can.

    The driver is asked first and the provider's own library is loaded by hand, because ONNX Runtime
    itself would fall back to the CPU with no more than a log line. Whether cuDNN is here, only the
    first convolution tells.

    Raises:
        BackendUnavailable: ONNX Runtime itself is not installed, or does not load.
    """
    # Standard output is the process's: of two that set it aside at once, one would keep it so.
    with _ASKING:
        return _cuda_problem()


@cache
def _cuda_problem() -> str | None:
    onnxruntime = load_onnxruntime()
    if CUDA_PROVIDER not in onnxruntime.get_available_providers():
        if installed_version("onnxruntime") and installed_version("onnxruntime-gpu"):
            return (
                "onnxruntime, built without CUDA, lies over onnxruntime-gpu: "
                f"uninstall both, then install '{ONNX_RUNTIME_PACKAGE}'"
            )
        return "the installed onnxruntime was built without CUDA (onnxruntime-gpu has it)"
    if sys.platform not in _LIBRARIES:
        return f"CUDA does not exist on {sys.platform}"
    problem = query_driver().problem
    if problem:
        return problem
    # preload_dlls prints what it misses; the loading below says the same in an exception.
    with contextlib.redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()
    folder = Path(onnxruntime.__file__).parent / "capi"
    for library in _LIBRARIES[sys.platform]:
        try:
            ctypes.CDLL(str(folder / library), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return f"{library} does not load: {error}"
    return None
