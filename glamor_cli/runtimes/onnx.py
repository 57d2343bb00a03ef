"""ONNX Runtime: the default engine, and the only one that ``predict`` needs. Never torch."""

import platform
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.runtimes.exported import ExportedFile, not_utf8, unreadable
from glamor_cli.runtimes.interface import INPUT_NAMES, OUTPUT_NAMES, Output, Runtime
from glamor_cli.runtimes.options import Arithmetic, Device
from glamor_cli.settings import choose
from glamor_cli.system.onnx_library import load_onnxruntime
from glamor_cli.system.onnx_providers import CPU_PROVIDER, cuda_problem
from glamor_cli.system.onnx_sessions import (
    no_cuda,
    onnx_reason,
    session_options,
    start_session,
    try_cuda,
)
from glamor_cli.weights.metadata import Metadata

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

_ARM = ("aarch64", "arm64", "ARM64")
"""What Linux, macOS and Windows call the CPUs whose half-precision units ONNX Runtime uses."""


class OnnxRuntime(Runtime):
    """A network exported by ``glamor export``; the temperature is in the graph.

    Args:
        path: The ``.onnx`` file.
        device: ``auto``, ``cpu`` or ``cuda``; auto takes CUDA where it truly loads and answers.
        threads: CPU threads; None leaves it to ONNX Runtime, one for each core.
        optimize: Let ONNX Runtime rewrite the graph. Without, quantised layers are computed
            exactly as the graph says, as engines for which it was not made would.

    Raises:
        ConfigError: There is no such device, or the number of threads is not positive.
        CheckpointError: The file is damaged, or not a network that glamor exported.
        BackendUnavailable: CUDA was asked for and cannot load or answer, of which the message names
            what is missing; or memory does not suffice.
    """

    backend = "onnxruntime"

    def __init__(
        self,
        path: Path,
        *,
        device: str = Device.AUTO,
        threads: int | None = None,
        optimize: bool = True,
    ) -> None:
        device = choose(Device, device, "device")

        def start(model: Path | bytes) -> "InferenceSession":
            return open_session(model, device=device, threads=threads, optimize=optimize)

        self._path, self._version, self._start = path.absolute(), _version(path), start
        self._session = start(path)
        self.metadata = _read_metadata(self._session, path)
        problem = self._problem_on_cuda()
        if problem is not None:
            if device == Device.CUDA:
                raise no_cuda(problem)
            device = Device.CPU  # of the halves, too
            self._session = start(path)
        self.provider = self._session.get_providers()[0]
        if self.provider == CPU_PROVIDER and platform.machine() in _ARM:
            self.arithmetic = Arithmetic.HALF_SUMS

    def _problem_on_cuda(self) -> str | None:
        """Say why a session on CUDA cannot answer; None if it can, or is on the CPU.

        The first convolution loads cuDNN, which may be missing.
        """
        if self._session.get_providers()[0] == CPU_PROVIDER:
            return None
        sides = (FACE_SIZE, CONTEXT_SIZE)
        try:
            self._run(*(np.zeros((1, 3, side, side), np.float32) for side in sides))
        except Exception as error:
            # ONNX Runtime's exceptions share no base but Exception.
            return onnx_reason(error)
        return None

    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        feeds = dict(zip(INPUT_NAMES, (face, context), strict=True))
        return Output(*self._session.run(list(OUTPUT_NAMES), feeds))

    def _about(self, face: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], Output]:
        if self._halves is None:
            return super()._about(face)
        first, rest, cut = self._halves
        known = dict(zip(cut, first.run(list(cut), {INPUT_NAMES[0]: face}), strict=True))
        return lambda context: Output(
            *rest.run(list(OUTPUT_NAMES), {INPUT_NAMES[1]: context, **known})
        )

    @cached_property
    def _halves(
        self,
    ) -> "tuple[InferenceSession, InferenceSession, tuple[str, ...]] | None":
        """The face's half and the rest, ready to run; None where they cannot be told apart.

        Nor can they where the file is gone or another one by now: the session has the first.
        """
        if _version(self._path) != self._version:
            return None
        # Late, because it brings the package onnx, which answering does not need.
        from glamor_cli.runtimes.face_half import split_at_face

        parts = split_at_face(self._path)
        return None if parts is None else (self._start(parts[0]), self._start(parts[1]), parts[2])


def _version(path: Path) -> tuple[int, int, int] | None:
    """Tell a file from one that took its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def open_session(
    path: Path | bytes,
    *,
    device: str = Device.AUTO,
    threads: int | None = None,
    optimize: bool = True,
    gpu: int = 0,
) -> "InferenceSession":
    """Open any ONNX file on the provider that the device asks for, and check that it is used.

    Args:
        path: The ``.onnx`` file, or what is in one.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads; None for one for each core.
        optimize: Let ONNX Runtime rewrite the graph.
        gpu: The number of the GPU, where it is CUDA.

    Raises:
        ConfigError: The number of threads is not positive.
        CheckpointError: The file is damaged or not ONNX.
        BackendUnavailable: CUDA was asked for and cannot load, or memory does not suffice.
    """
    options = session_options(threads)
    if not optimize:
        levels = load_onnxruntime().GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_DISABLE_ALL
    if device != "cpu":
        session, problem = try_cuda(path, options, device_id=str(gpu))
        if session is not None:
            return session
        if device == "cuda":
            # A file that nothing can read is not CUDA's fault.
            _on_cpu(path, options)
            raise no_cuda(problem)
    return _on_cpu(path, options)


def require_cuda() -> None:
    """Find out before anything slow whether CUDA's libraries load.

    Raises:
        BackendUnavailable: They do not; the message names what is missing.
    """
    problem = cuda_problem()
    if problem is not None:
        raise no_cuda(problem)


def _on_cpu(path: Path | bytes, options: "SessionOptions") -> "InferenceSession":
    try:
        return start_session(path, options, [CPU_PROVIDER])
    except Exception as error:
        name = path if isinstance(path, Path) else "a half of the network"
        raise unreadable(name, error) from error


def _read_metadata(session: "InferenceSession", path: Path) -> Metadata:
    """Check that the graph is the network's, and read what it says of itself."""
    try:
        exported = ExportedFile.of(
            path,
            session.get_modelmeta().custom_metadata_map,
            (value.name for value in session.get_inputs()),
            (value.name for value in session.get_outputs()),
        )
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    exported.require_network()
    return exported.metadata
