"""How a session of ONNX Runtime is set up, whatever network it is for."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glamor_cli.errors import BackendUnavailable, reason_of
from glamor_cli.files.utf8_paths import utf8_path
from glamor_cli.settings import require_positive
from glamor_cli.system.onnx_library import load_onnxruntime
from glamor_cli.system.onnx_providers import CPU_PROVIDER, CUDA_PROVIDER, cuda_problem

if TYPE_CHECKING:
    import onnxruntime

# Errors only: ONNX Runtime's warnings speak of its optimiser's choices, not of the answer.
_LOG_ERRORS = 3
_LONGEST_REASON = 5000
"""Letters; paths have room among them, of which Linux takes up to 4096."""


def session_options(threads: int | None) -> "onnxruntime.SessionOptions":
    """Make the options of a session that is quiet and leaves the cores to others when it is idle.

    Args:
        threads: CPU threads; None for one for each core.

    Raises:
        ConfigError: The number of threads is not positive.
        BackendUnavailable: ONNX Runtime is not installed, or does not load.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    if threads is not None:
        require_positive(threads, "the number of threads", "--threads")
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    # Spinning threads take the cores from decoding and detection between two batches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def onnx_reason(error: BaseException) -> str:
    """Give the first line that ONNX Runtime says, without the place in its own source.

    Names out of a stranger's file are in it, so it is cut where it is endless.
    """
    reason = reason_of(error)[:_LONGEST_REASON]
    return re.sub(r"(/|\b\w:\\)\S*\.(cc|cpp|cu|h):\d+ .*?\) ", "", reason)


def start_session(
    model: Path | bytes, options: "onnxruntime.SessionOptions", providers: Sequence[Any]
) -> "onnxruntime.InferenceSession":
    """Open a network on the given providers.

    Args:
        model: The ``.onnx`` file, or what is in one.
        options: From ``session_options``.
        providers: Names, or pairs of a name and its options, the most wanted first.

    Raises:
        Exception: ONNX Runtime's own, which share no base but this.
    """
    onnxruntime = load_onnxruntime()
    file = utf8_path(model) if isinstance(model, Path) else nullcontext(model)
    with file as readable:
        # Without the flag both opening and running fall back to the CPU, with a line printed.
        return onnxruntime.InferenceSession(readable, options, providers, enable_fallback=0)


def try_cuda(
    model: Path | bytes, options: "onnxruntime.SessionOptions", **of_cuda: str
) -> tuple["onnxruntime.InferenceSession | None", str]:
    """Open a network on CUDA, or say why not.

    Args:
        model: The ``.onnx`` file, or what is in one.
        options: From ``session_options``.
        of_cuda: Further options of CUDA's provider.

    Returns:
        The session and an empty string, or None and the reason.
    """
    problem = cuda_problem()
    if problem is not None:
        return None, problem
    # TF32 would move the answers by 1e-3; speed on a GPU is asked for with FP16.
    providers = [(CUDA_PROVIDER, {"use_tf32": "0", **of_cuda}), CPU_PROVIDER]
    try:
        session = start_session(model, options, providers)
    except Exception as error:
        # ONNX Runtime's exceptions share no base but Exception.
        return None, reason_of(error)
    if session.get_providers()[0] != CUDA_PROVIDER:
        return None, "its provider refuses to start"
    return session, ""


def no_cuda(problem: str) -> BackendUnavailable:
    """Make the error that says why ONNX Runtime cannot use CUDA."""
    return BackendUnavailable(
        f"ONNX Runtime cannot use CUDA: {problem}",
        "Install what is missing (see glamor doctor), or choose --device cpu and no --provider.",
    )
