"""Torch: the engine of ``.safetensors`` files, on the CPU or CUDA."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glamor_cli.errors import BackendUnavailable, ConfigError
from glamor_cli.network.config import CONTEXT_SIZE, FACE_SIZE
from glamor_cli.network.fused_core import fused_core_problem, unsupported
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.network.inference import Answer, FewLaunches, InferenceNetwork
from glamor_cli.runtimes.cuda_graphs import SIZES, GraphedCall
from glamor_cli.runtimes.interface import Output, Runtime, no_memory_left
from glamor_cli.runtimes.options import Arithmetic, Device, TorchPrecision
from glamor_cli.settings import choose, require_positive
from glamor_cli.system.exact_float32 import exact_float32
from glamor_cli.weights.network_file import load_network

_ON_CUDA = Lock()
"""Held while a network runs on CUDA: cuDNN's settings are the process's, not a runtime's."""

_DTYPES = {
    TorchPrecision.FP32: torch.float32,
    TorchPrecision.FP16: torch.float16,
    TorchPrecision.BF16: torch.bfloat16,
}
_AGREEMENT = {TorchPrecision.FP32: 1e-4, TorchPrecision.FP16: 1e-2, TorchPrecision.BF16: 5e-2}
"""How far the fast path's answers may be from the plain modules' when a network is opened."""


class TorchRuntime(Runtime):
    """A network run by torch, batch norms folded into the convolutions, channels last.

    On CUDA the core is one launch (``network/fused_core.py``) and each batch size's launches are
    recorded as a CUDA graph. Both are tried when the network is opened; where the fused core
    cannot be had, or its answers are not the plain modules', these take its place. Where a batch's
    size cannot be recorded, everything is launched anew for every batch from then on, and by the
    plain modules where the fused core does not compile for that size either.

    Attributes:
        core: ``fused``, or ``plain`` and why; and why nothing is recorded, where nothing is.

    Args:
        path: The ``.safetensors`` file.
        device: ``auto``, ``cpu`` or ``cuda``; auto takes CUDA where there is a device.
        threads: CPU threads; None leaves it to torch. Torch has one number for the whole process.
        precision: In what numbers to compute.

    Raises:
        ConfigError: No such device or precision, half precision on the CPU, or a number of threads
            that is not positive.
        CheckpointError: The file is damaged, not glamor's, or its tensors do not fit.
        BackendUnavailable: CUDA was asked for and torch finds no device.
    """

    backend = "torch"

    def __init__(
        self,
        path: Path,
        *,
        device: str = Device.AUTO,
        threads: int | None = None,
        precision: TorchPrecision = TorchPrecision.FP32,
    ) -> None:
        self.provider = choose_device(device)
        precision = choose(TorchPrecision, precision, "precision")
        if precision is not TorchPrecision.FP32 and self.provider == "cpu":
            raise ConfigError(
                "torch computes in half precision only on CUDA",
                "Leave the precision at fp32, or choose the device cuda.",
            )
        if threads is not None:
            require_positive(threads, "the number of threads", "--threads")
            torch.set_num_threads(threads)
        network, self.metadata = load_network(path)
        self._dtype = _DTYPES[precision]
        if self._dtype is torch.bfloat16:
            self.arithmetic = Arithmetic.BFLOAT16
        where, temperature = torch.device(self.provider), self.metadata.temperature
        self._plain = InferenceNetwork(network, temperature, where, self._dtype)
        self._fast: FewLaunches | None = None
        self.core = "plain: the device is a CPU"
        self._graphed: GraphedCall | None = None
        if self.provider == "cuda":
            # Beyond it every size would be recorded, and held, by itself.
            self.largest_batch = SIZES[-1]
            # Another network, opened already, may be answering in another thread.
            with _ON_CUDA:
                self._fast, self.core = self._try_fast(network, precision)
                self._graphed = self._try_graphs()

    @torch.inference_mode()
    def answer(self, face: Tensor, context: Tensor) -> Answer:
        """Answer tensors on the device, launch by launch.

        Args:
            face: float32 (B, 3, 96, 96), RGB in [0, 1].
            context: float32 (B, 3, 112, 112), RGB in [0, 1].

        Returns:
            Probabilities (B, classes), attention (B, h, w) and stream weights (B, 2), all float32.
        """
        with _fastest_exact() if self.provider == "cuda" else nullcontext():
            answer: Answer = (self._fast or self._plain)(self._place(face), self._place(context))
        return answer

    @torch.inference_mode()
    def on_device(self, face: Tensor, context: Tensor) -> Callable[[], object]:
        """Make a call that answers a batch which is on the device already; for measurements.

        On CUDA it returns before the GPU is done.

        Args:
            face: float32 (B, 3, 96, 96) on the device.
            context: float32 (B, 3, 112, 112).
        """
        if self._graphed is None:
            return lambda: self.answer(face, context)
        self._graphed(face, context)
        recording = self._graphed.recording(len(face), face.shape[1:], context.shape[1:])
        return recording.replay

    @torch.inference_mode()
    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        faces, contexts = (
            torch.from_numpy(np.require(values, requirements=["C", "W"]))
            for values in (face, context)
        )
        # A graph's next run, another thread's too, writes over its answers: hence the copy.
        with _ON_CUDA if self.provider == "cuda" else nullcontext():
            try:
                answer = self._fastest(faces, contexts)
            except torch.OutOfMemoryError as error:
                raise no_memory_left(len(faces)) from error
            return Output(
                *(values.to("cpu", copy=self.provider == "cuda").numpy() for values in answer)
            )

    def _fastest(self, faces: Tensor, contexts: Tensor) -> Answer:
        """Answer the fastest way left; one that fails, but for lack of memory, is given up."""
        if self._graphed is not None:
            try:
                return self._graphed(faces, contexts)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                # Triton's exceptions have nothing in common but this.
                self._graphed = None
                self.core += _not_recorded(error)
        try:
            return self.answer(faces, contexts)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._fast is None:
                raise
            # Large batches have layouts of their own, which are compiled at their first.
            self._fast, self.core = None, f"plain: {type(error).__name__}: {error}"
            return self.answer(faces, contexts)

    @torch.inference_mode()
    def _about(self, face: NDArray[np.float32]) -> Callable[[NDArray[np.float32]], Output]:
        # On CUDA the recorded graphs hold both halves.
        if self.provider == "cuda":
            return super()._about(face)
        face_map = self._plain.encode_face(self._place(torch.tensor(face)))

        @torch.inference_mode()
        def ask(context: NDArray[np.float32]) -> Output:
            contexts = self._place(torch.tensor(context))
            return Output(*(value.numpy() for value in self._plain.answer(face_map, contexts)))

        return ask

    @torch.inference_mode()
    def _try_graphs(self) -> GraphedCall | None:
        """Record a batch of one; None where that cannot be done here."""
        graphed = GraphedCall(self.answer)
        try:
            shapes = (torch.Size((3, size, size)) for size in (FACE_SIZE, CONTEXT_SIZE))
            graphed.recording(1, *shapes)
        except Exception as error:
            # What cannot be recorded is known to the driver alone.
            self.core += _not_recorded(error)
            return None
        return graphed

    def _place(self, values: Tensor) -> Tensor:
        return values.to(self.provider, self._dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def _try_fast(
        self, network: GlamorNet, precision: TorchPrecision
    ) -> tuple[FewLaunches | None, str]:
        """Make the fastest path that works here and agrees with the plain one on noise."""
        problem = fused_core_problem() or unsupported(network.config)
        if problem is not None:
            return None, f"plain: {problem}"
        generator = torch.Generator().manual_seed(0)
        pairs = [
            self._place(torch.rand(3, 3, size, size, generator=generator))
            for size in (FACE_SIZE, CONTEXT_SIZE)
        ]
        for fuse_blocks in (True, False):
            try:
                fast = FewLaunches(
                    network,
                    self.metadata.temperature,
                    torch.device("cuda"),
                    self._dtype,
                    fuse_blocks=fuse_blocks,
                )
                # As in an answer: the algorithms chosen here are those that it uses.
                with _fastest_exact():
                    # What is left in memory must not be read before it is written over.
                    fast(*(torch.full_like(values, torch.inf) for values in pairs))
                    ours, theirs = fast(*pairs), self._plain(*pairs)
                torch.cuda.synchronize()
            except Exception as error:
                # Compilers and drivers raise whatever they like; the plain modules still run.
                problem = f"{type(error).__name__}: {error}"
                continue
            # Unlike max, torch's keeps NaN.
            differences = [(a - b).abs().max() for a, b in zip(ours, theirs, strict=True)]
            off = float(torch.stack(differences).max())
            if off <= _AGREEMENT[precision]:  # NaN is not
                return fast, "fused" if problem is None else f"fused; convolutions not: {problem}"
            problem = f"its answers are off by {off:.1e}"
        return None, f"plain: {problem}"


def _not_recorded(error: Exception) -> str:
    return f"; not recorded: {type(error).__name__}: {error}"


@contextmanager
def _fastest_exact() -> Iterator[None]:
    """Let cuDNN take the fastest algorithm, and nothing take TF32."""
    cudnn = torch.backends.cudnn
    before = cudnn.enabled, cudnn.benchmark
    cudnn.enabled, cudnn.benchmark = True, True
    try:
        with exact_float32():
            yield
    finally:
        cudnn.enabled, cudnn.benchmark = before


def choose_device(device: str) -> str:
    """Resolve ``auto``, ``cpu`` or ``cuda`` to ``cpu`` or ``cuda``.

    Raises:
        ConfigError: There is no such device.
        BackendUnavailable: CUDA was asked for and torch finds no device.
    """
    choose(Device, device, "device")
    if device == "cpu":
        return "cpu"
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        built = torch.version.cuda
        reason = "this torch was built without CUDA" if built is None else "no CUDA device is found"
        raise BackendUnavailable(
            f"torch cannot use CUDA: {reason}",
            "Install an NVIDIA driver and a CUDA build of torch, or choose --device cpu.",
        )
    return "cuda" if available else "cpu"
