"""Torch: the reference that every other engine is compared with, on the CPU or CUDA."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glamor_cli.errors import BackendUnavailable, ConfigError
from glamor_cli.network.folding import fold_batch_norms
from glamor_cli.runtimes.base import Output, Runtime
from glamor_cli.weights import load_network


class TorchRuntime(Runtime):
    """A network run eagerly by torch.

    On the CPU it computes in float32 on the network as trained; on CUDA the encoders' batch norms
    are folded, and half precision may be asked for.

    Args:
        path: The ``.safetensors`` file.
        device: ``auto``, ``cpu`` or ``cuda``; auto takes CUDA where there is a device.
        threads: CPU threads; None leaves it to torch. Torch has one number for the whole process.
        half: Compute in float16, on CUDA only; moves the probabilities by about 1e-3.

    Raises:
        ConfigError: Half precision on the CPU, or a number of threads that is not positive.
        CheckpointError: The file is damaged, not glamor's, or its tensors do not fit.
        BackendUnavailable: CUDA was asked for and torch finds no device.
    """

    backend = "torch"

    def __init__(
        self, path: Path, *, device: str = "auto", threads: int | None = None, half: bool = False
    ) -> None:
        self.provider = choose_device(device)
        if half and self.provider == "cpu":
            raise ConfigError(
                "torch computes in half precision only on CUDA",
                "Leave half precision away, or choose --device cuda.",
            )
        if threads is not None:
            if threads < 1:
                raise ConfigError(f"cannot run on {threads} threads", "Give --threads 1 or more.")
            torch.set_num_threads(threads)
        network, self.metadata = load_network(path)
        if self.provider == "cuda":
            network = fold_batch_norms(network)
            self.largest_batch = 512
        self._dtype = torch.float16 if half else torch.float32
        # Twice as fast as the default layout on the CPU too.
        network = network.to(memory_format=torch.channels_last)
        self._network = network.to(self.provider, self._dtype)

    def compile(self) -> None:
        """Let ``torch.compile`` rewrite the network; each new batch size compiles for a while."""
        self._network.compile(dynamic=False)

    @torch.inference_mode()
    def _run(self, face: NDArray[np.float32], context: NDArray[np.float32]) -> Output:
        # TF32, on by default in cuDNN, would move the answers by 1e-3.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            output = self._network(self._place(face), self._place(context))
        logits = output.logits.float() / self.metadata.temperature
        return Output(
            logits.softmax(dim=1).cpu().numpy(),
            output.attention.float().cpu().numpy(),
            output.stream_weights.float().cpu().numpy(),
        )

    def _place(self, values: NDArray[np.float32]) -> torch.Tensor:
        tensor = torch.from_numpy(np.require(values, requirements=["C", "W"]))
        return tensor.to(self.provider, dtype=self._dtype, memory_format=torch.channels_last)


def choose_device(device: str) -> str:
    """Resolve ``auto``, ``cpu`` or ``cuda`` to ``cpu`` or ``cuda``.

    Raises:
        BackendUnavailable: CUDA was asked for and torch finds no device.
    """
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
