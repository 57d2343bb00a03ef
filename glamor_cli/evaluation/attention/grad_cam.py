"""Grad-CAM by Captum on our own network, to hold the attention against.

Selvaraju et al., "Grad-CAM" (ICCV 2017): the feature map's channels, each weighted by the mean
gradient of a class's logit, summed, negative values dropped. Taken at the context encoder's output,
where the attention reads too, so both maps have the same cells.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glamor_cli.errors import ConfigError
from glamor_cli.runtimes.options import Device
from glamor_cli.runtimes.torch import choose_device
from glamor_cli.system.extras import importing, install_extra
from glamor_cli.weights.network_file import load_network

_REMEDY = f"{install_extra('attribution')}. Or leave --gradcam out."


class GradCam:
    """Grad-CAM over the context of a network.

    Args:
        path: The ``.safetensors`` file.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: The file gives no gradients, or the network has no context stream.
        CheckpointError: The file is damaged or foreign.
        BackendUnavailable: Captum is not installed or does not load, or the device is not here.
    """

    def __init__(self, path: Path, *, device: str = Device.AUTO) -> None:
        with importing("captum", "Grad-CAM needs Captum, which is not installed", _REMEDY):
            from captum.attr import LayerGradCam
        if path.suffix != ".safetensors":
            raise ConfigError(
                f"Grad-CAM needs gradients, which {path.name} does not have",
                "Give the .safetensors file that it was exported from, or leave --gradcam out.",
            )
        self._device = choose_device(device)
        network, _ = load_network(path)
        if network.context_encoder is None:
            raise ConfigError(
                f"the network of {path.name} has no context stream", "Leave --gradcam out."
            )
        network = network.to(self._device)

        def logits(context: torch.Tensor, face: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = network(face, context).logits
            return scores

        self._method = LayerGradCam(logits, network.context_encoder)

    def __call__(
        self,
        faces: NDArray[np.float32],
        contexts: NDArray[np.float32],
        classes: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Map what speaks for a class.

        Args:
            faces: float32 [B, 3, 96, 96], RGB in [0, 1].
            contexts: float32 [B, 3, 112, 112], RGB in [0, 1].
            classes: int64 [B]: the class of each pair.

        Returns:
            float32 [B, h, w], each of sum 1, or all zero where nothing speaks for the class.
        """
        maps = self._method.attribute(
            torch.from_numpy(np.ascontiguousarray(contexts)).to(self._device),
            target=torch.from_numpy(classes).to(self._device),
            additional_forward_args=(torch.from_numpy(faces).to(self._device),),
            relu_attributions=True,
        )
        values: NDArray[np.float32] = maps[:, 0].detach().float().cpu().numpy()
        sums = values.sum(axis=(1, 2), keepdims=True)
        shares: NDArray[np.float32] = np.divide(
            values, sums, out=np.zeros_like(values), where=sums > 0
        )
        return shares
