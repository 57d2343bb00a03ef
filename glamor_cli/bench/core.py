"""The attention-fusion core: from the encoders' feature maps to the answer."""

from collections.abc import Callable

import numpy as np
import onnx
import torch
from torch import Tensor

from glamor_cli.bench.contenders import Absent, Contender, Entry, LineUp, Setup, reason
from glamor_cli.bench.floor import DTYPES, Work, count_work
from glamor_cli.bench.options import Backend, Precision
from glamor_cli.bench.torch_backends import (
    TORCH_BACKENDS,
    AsWritten,
    make_call,
    on_device,
    output_of_tensors,
    read_in_place,
)
from glamor_cli.errors import ConfigError
from glamor_cli.export.graph import export_module
from glamor_cli.export.options import DEFAULT_OPSET
from glamor_cli.export.pairs import random_pairs
from glamor_cli.network.fused_core import FusedCore, fused_core_problem, unsupported
from glamor_cli.network.inference import Answer
from glamor_cli.runtimes.cuda_graphs import Recording
from glamor_cli.runtimes.interface import OUTPUT_NAMES, Output
from glamor_cli.runtimes.onnx import open_session

Maps = tuple[Tensor, Tensor]

_INPUT_NAMES = ("face_map", "context_map")


def core_line_up(setup: Setup, batch: int) -> LineUp:
    """Line up the backends on the feature maps of random pairs.

    Raises:
        ConfigError: The network has only one stream, and so no core.
    """
    network = setup.network.cpu()
    if not network.config.variant.has_both:
        raise ConfigError(
            f"a {network.config.variant} network has no attention-fusion core",
            "Use --what network, or give weights of a whole network.",
        )
    maps = _feature_maps(setup, batch)
    module = AsWritten(network, setup.metadata.temperature, core=True).eval()
    with torch.inference_mode():
        reference = output_of_tensors(module(*maps))
    entries: list[Entry] = []
    for backend, precision in setup.each():
        try:
            entries += _enter(setup, backend, precision, module, maps)
        except Exception as error:
            # Compilers and drivers raise whatever they like; the others still take part.
            entries.append(Absent(backend, precision, reason(error)))
    return LineUp(tuple(entries), reference)


def _enter(
    setup: Setup, backend: Backend, precision: Precision, module: AsWritten, maps: Maps
) -> list[Entry]:
    if backend in (*TORCH_BACKENDS, Backend.FUSED):
        problem = torch_problem(backend, precision, setup.device)
        if problem is None and backend is Backend.FUSED:
            problem = fused_core_problem() or unsupported(setup.network.config)
        if problem is not None:
            return [Absent(backend, precision, problem)]
        dtype = DTYPES[precision]
        # As the runtime's encoders give them: the layout is no contender's own.
        on_it: Maps = tuple(  # type: ignore[assignment]
            values.to(setup.device, dtype, memory_format=torch.channels_last) for values in maps
        )
        work = count_work(module, *maps, itemsize=dtype.itemsize)
        if backend is Backend.FUSED:
            return _fused(setup, precision, on_it, work)
        placed = AsWritten(setup.network, setup.metadata.temperature, core=True).eval()
        placed = placed.to(setup.device, dtype)
        run = make_call(backend, placed, setup.compile_mode)
        if backend is Backend.COMPILE:
            read_in_place(*on_it)
        device_run = on_device(run, *on_it)
        provider = setup.device if backend is not Backend.COMPILE else setup.compile_mode
        return [
            Contender(
                backend,
                provider,
                precision,
                setup.device,
                run=_until_done(setup, device_run),
                answer=output_of_tensors,
                device_run=device_run if setup.device == "cuda" else None,
                work=work,
            )
        ]
    if backend in (Backend.ORT, Backend.ORT_CUDA):
        if precision is not Precision.FP32:
            return [Absent(backend, precision, f"{backend} runs the core in fp32 only")]
        return [_onnx_contender(setup, backend, module, maps)]
    return [Absent(backend, precision, f"{backend} runs whole networks only")]


def torch_problem(backend: Backend, precision: Precision, device: str) -> str | None:
    """Say why torch cannot take part; None if it can."""
    if precision not in DTYPES:
        return f"torch does not compute in {precision}"
    if device == "cpu" and precision is not Precision.FP32:
        return "torch computes in half precision only on CUDA"
    if device == "cpu" and backend is Backend.CUDAGRAPH:
        return "CUDA graphs need CUDA"
    return None


def _feature_maps(setup: Setup, batch: int) -> Maps:
    """Encode random pairs on the CPU: (B, C, h', w') and (B, C, h, w)."""
    network, pairs = setup.network, random_pairs(batch)
    assert network.face_encoder is not None  # noqa: S101 - core_line_up saw to it
    assert network.context_encoder is not None  # noqa: S101
    with torch.inference_mode():
        face_map = network.face_encoder(torch.from_numpy(pairs.face))
        context_map = network.context_encoder(torch.from_numpy(pairs.context))
    # Ordinary tensors, which every backend may write beside.
    return face_map.clone(), context_map.clone()


def _fused(setup: Setup, precision: Precision, maps: Maps, work: Work) -> list[Entry]:
    """The kernel launched from Python, and recorded as the runtime does."""
    core = FusedCore(setup.network, setup.metadata.temperature, DTYPES[precision]).cuda()
    face_map, context_map = maps

    def launch(face_map: Tensor, context_map: Tensor) -> Answer:
        answer = core(face_map, context_map)
        return answer.probabilities, answer.attention, answer.stream_weights

    with torch.no_grad():
        recording = Recording(launch, (face_map, context_map), None)
        for buffer, values in zip(recording.inputs, (face_map, context_map), strict=True):
            buffer.copy_(values)

    calls = {"launch": lambda: launch(face_map, context_map), "graph": recording.replay}
    return [
        Contender(
            Backend.FUSED,
            name,
            precision,
            setup.device,
            run=_until_done(setup, call),
            answer=output_of_tensors,
            device_run=call,
            work=work,
        )
        for name, call in calls.items()
    ]


def _until_done(setup: Setup, call: Callable[[], object]) -> Callable[[], object]:
    """A call whose host time is until the device is done."""
    if setup.device != "cuda":
        return call

    def run() -> object:
        answer = call()
        torch.cuda.synchronize()
        return answer

    return run


def _onnx_contender(setup: Setup, backend: Backend, module: AsWritten, maps: Maps) -> Contender:
    path = setup.folder / "core.onnx"
    if not path.is_file():
        face_map, context_map = (torch.rand(2, *values.shape[1:]) for values in maps)
        graph = export_module(module, (face_map, context_map), _INPUT_NAMES, opset=DEFAULT_OPSET)
        onnx.save(graph, path)
    device = "cuda" if backend is Backend.ORT_CUDA else "cpu"
    session = open_session(path, device=device, threads=setup.threads)
    feeds = {name: values.numpy() for name, values in zip(_INPUT_NAMES, maps, strict=True)}
    return Contender(
        backend,
        session.get_providers()[0],
        Precision.FP32,
        device,
        run=lambda: session.run(list(OUTPUT_NAMES), feeds),
        answer=lambda answer: Output(*(np.asarray(value) for value in answer)),  # type: ignore[attr-defined]
        work=count_work(module, *maps),
    )
