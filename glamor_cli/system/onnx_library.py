"""Loading ONNX Runtime, of which two packages share one folder."""

import sys
from typing import Any

from glamor_cli.system.extras import importing

# As pyproject.toml names it.
ONNX_RUNTIME_PACKAGE = "onnxruntime" if sys.platform == "darwin" else "onnxruntime-gpu[cuda,cudnn]"

# To install one package, or to take one away, damages the other, which counts as installed still.
REINSTALL_ONNX_RUNTIME = (
    "Reinstall it: pip uninstall -y onnxruntime onnxruntime-gpu, "
    f"then pip install '{ONNX_RUNTIME_PACKAGE}'"
)


def load_onnxruntime() -> Any:
    """Import ONNX Runtime.

    Returns:
        The module ``onnxruntime``.

    Raises:
        BackendUnavailable: It is not installed, or does not load.
    """
    with importing("onnxruntime", "ONNX Runtime is not installed", REINSTALL_ONNX_RUNTIME):
        import onnxruntime

        # Of what is left of a folder Python makes a module, too, but an empty one.
        onnxruntime.InferenceSession  # noqa: B018
    return onnxruntime
