"""TensorRT and TensorRT-RTX behind one door: which is installed, and what it has to say.

Both have the same interface but for the module, what is built for, and the runtime's
configuration. Their failures are return values; the reason goes to a logger only.
"""

import importlib
import re
from enum import StrEnum
from typing import Any

from glamor_cli.errors import BackendUnavailable
from glamor_cli.system.extras import heed_interrupt, install_extra

TURING = "SM75"
"""The oldest generation that TensorRT-RTX builds for; it multiplies no float32 matrices there."""


class Target(StrEnum):
    """The two flavours of TensorRT."""

    TRT = "trt"
    """TensorRT: datacentre and workstation GPUs; builds on the GPU that will run the engine."""
    RTX = "rtx"
    """TensorRT-RTX: GeForce and RTX cards; builds without a GPU, for several generations."""


_MODULES = {Target.TRT: "tensorrt", Target.RTX: "tensorrt_rtx"}
_NAMES = {Target.TRT: "TensorRT", Target.RTX: "TensorRT-RTX"}
_REMEDIES = {
    Target.TRT: f"{install_extra('trt')} (libraries come from NVIDIA's index).",
    Target.RTX: install_extra("trt-rtx"),
}


def load_library(target: Target | None = None) -> tuple[Target, Any]:
    """Import one of the two libraries.

    Args:
        target: Which one; None takes TensorRT where it is installed, else TensorRT-RTX.

    Returns:
        The flavour, and its module.

    Raises:
        BackendUnavailable: It is not installed, or its own libraries do not load.
    """
    if target is not None:
        return target, _load(target)
    try:
        return Target.TRT, _load(Target.TRT)
    except BackendUnavailable as first:
        try:
            return Target.RTX, _load(Target.RTX)
        except BackendUnavailable:
            raise first from None


def _load(target: Target) -> Any:
    try:
        module = importlib.import_module(_MODULES[target])
        module.Builder  # noqa: B018 - without its libraries the vendor's package imports, but empty
    except Exception as error:
        heed_interrupt(error)
        absent = isinstance(error, ModuleNotFoundError)
        reason = "is not installed" if absent else f"does not load ({error})"
        raise BackendUnavailable(
            f"{_NAMES[target]} {reason}",
            _REMEDIES[target],
        ) from error
    return module


def generations(trt: Any) -> tuple[str, ...]:
    """GPU generations that this TensorRT-RTX can build for, the oldest first."""
    names = [name for name in trt.ComputeCapability.__members__ if re.fullmatch(r"SM\d+", name)]
    return tuple(sorted(names, key=lambda name: int(name[2:])))


def make_logger(trt: Any) -> Any:
    """Make a logger that keeps messages for our errors and prints nothing.

    The class can only be made here, because its base comes from whichever library is installed.
    ``problems()`` of the result gives warnings and errors, the worst first, as one line.
    """

    class MessageLogger(trt.ILogger):  # type: ignore[misc]
        """Collects what the library says."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Keep a message; called from C++, so it must never raise."""
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self.errors.append(message)
            elif severity == trt.ILogger.Severity.WARNING:
                self.warnings.append(message)

        def problems(self) -> str:
            """What went wrong, in one line."""
            said = dict.fromkeys(self.errors or self.warnings)
            return "; ".join(" ".join(message.split()) for message in said) or "no reason given"

    return MessageLogger()
