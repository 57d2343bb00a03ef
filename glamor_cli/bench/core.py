"""The attention-fusion core: from the encoders' feature maps to the answer."""

import copy
from collections.abc import Callable, Iterator

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from glamor_cli.bench.config import Backend
from glamor_cli.bench.contenders import Absent, Contender, Entry, Setup
from glamor_cli.errors import ConfigError, GlamorError
from glamor_cli.export.config import DEFAULT_OPSET
from glamor_cli.export.graph import export_module
from glamor_cli.network.config import Variant
from glamor_cli.network.glamor_net import GlamorNet
from glamor_cli.runtimes.base import Output
from glamor_cli.runtimes.onnx import OUTPUT_NAMES, open_session

Answer = tuple[Tensor, Tensor, Tensor]

_INPUT_NAMES = ("face_map", "context_map")


class Core(nn.Module):
    """All of a network that comes after its encoders, with the softmax.

    Args:
        network: Of a variant with both streams.
        temperature: Logits are divided by it.
    """

    def __init__(self, network: GlamorNet, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, face_map: Tensor, context_map: Tensor) -> Answer:
        """Map (B, C, h', w') and (B, C, h, w) to probabilities, attention, stream weights."""
        logits, attention, stream_weights = self.network.answer(face_map, context_map)
        return (logits / self.temperature).softmax(dim=1), attention, stream_weights


def core_contenders(setup: Setup, batch: int) -> Iterator[Entry]:
    """Line up the backends on the feature maps of random pairs.

    Raises:
        ConfigError: The network has only one stream, and so no core.
    """
    network = setup.network
    if network.config.variant in (Variant.FACE_ONLY, Variant.CONTEXT_ONLY):
        raise ConfigError(
            f"a {network.config.variant} network has no attention-fusion core",
            "Measure --what network, or give weights of a whole network.",
        )
    maps = _feature_maps(setup, batch)
    core = Core(network, setup.metadata.temperature).to(setup.device).eval()
    for backend in setup.backends:
        if backend is Backend.EAGER:
            yield _torch_contender(setup, backend, core, maps)
        elif backend is Backend.COMPILE:
            compiled = copy.deepcopy(core)
            compiled.compile(dynamic=False)
            yield _torch_contender(setup, backend, compiled, maps)
        elif backend is Backend.ORT:
            try:
                yield _onnx_contender(setup, core, maps)
            except GlamorError as error:
                yield Absent(backend, "fp32", error.what)
        else:
            yield Absent(backend, "", f"{backend} runs whole networks only")


def _feature_maps(setup: Setup, batch: int) -> tuple[Tensor, Tensor]:
    """Encode random pairs: (B, C, h', w') and (B, C, h, w) on the device."""
    network, pairs = setup.network.to(setup.device), setup.pairs(batch)
    assert network.face_encoder is not None  # noqa: S101 - core_contenders saw to it
    assert network.context_encoder is not None  # noqa: S101
    with torch.inference_mode():
        return (
            network.face_encoder(torch.from_numpy(pairs.face).to(setup.device)),
            network.context_encoder(torch.from_numpy(pairs.context).to(setup.device)),
        )


def _torch_contender(
    setup: Setup, backend: Backend, core: nn.Module, maps: tuple[Tensor, Tensor]
) -> Contender:
    synchronize: Callable[[], object] = (
        torch.cuda.synchronize if setup.device == "cuda" else lambda: None
    )

    @torch.inference_mode()
    def run() -> object:
        answer = core(*maps)
        synchronize()
        return answer

    def output(answer: object) -> Output:
        assert isinstance(answer, tuple)  # noqa: S101 - what run returned
        return Output(*(value.cpu().numpy() for value in answer))

    return Contender(backend, setup.device, "fp32", setup.device, run, output)


def _onnx_contender(setup: Setup, core: Core, maps: tuple[Tensor, Tensor]) -> Contender:
    path = setup.folder / "core.onnx"
    if not path.is_file():
        face_map, context_map = (torch.rand(2, *values.shape[1:]) for values in maps)
        on_cpu = copy.deepcopy(core).cpu()
        onnx.save(
            export_module(on_cpu, (face_map, context_map), _INPUT_NAMES, opset=DEFAULT_OPSET), path
        )
    session = open_session(path, device=setup.device, threads=setup.threads)
    feeds = {name: values.cpu().numpy() for name, values in zip(_INPUT_NAMES, maps, strict=True)}
    provider = session.get_providers()[0]
    return Contender(
        Backend.ORT,
        provider,
        "fp32",
        setup.device,
        lambda: session.run(list(OUTPUT_NAMES), feeds),
        lambda answer: Output(*(np.asarray(value) for value in answer)),  # type: ignore[attr-defined]
    )
