"""How a session of ONNX Runtime is set up, whatever network it is for."""

from typing import TYPE_CHECKING

from glamor_cli.settings import require_positive

if TYPE_CHECKING:
    import onnxruntime

# Errors only: ONNX Runtime's warnings speak of its optimiser's choices, not of the answer.
_LOG_ERRORS = 3


def session_options(threads: int | None) -> "onnxruntime.SessionOptions":
    """Make the options of a session that is quiet and leaves the cores to others when it is idle.

    Args:
        threads: CPU threads; None for one for each core.

    Raises:
        ConfigError: The number of threads is not positive.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    if threads is not None:
        require_positive(threads, "the number of threads", "--threads")
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
    # Spinning threads take the cores from decoding and detection between two batches.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
