"""Opening weights on the engine that runs their kind of file."""

from pathlib import Path

from glamor_cli.errors import ConfigError
from glamor_cli.runtimes.interface import Runtime
from glamor_cli.runtimes.options import Device, Provider, TorchPrecision
from glamor_cli.settings import choose
from glamor_cli.weights.registry import find_weights


def open_runtime(
    weights: str | Path,
    *,
    device: str = Device.AUTO,
    threads: int | None = None,
    provider: str | None = None,
    precision: str = TorchPrecision.FP32,
) -> Runtime:
    """Open weights on the engine that their kind of file asks for.

    Args:
        weights: A ``.safetensors`` (torch), ``.onnx`` (ONNX Runtime) or ``.engine`` (TensorRT)
            file, or a name from ``weights/``, which means its ONNX file.
        device: ``auto``, ``cpu`` or ``cuda``; auto takes a GPU where one works.
        threads: CPU threads; None leaves it to the engine.
        provider: What runs an ONNX file: a ``Provider`` or its value; None takes ONNX Runtime on
            ``device``. One that cannot load is an error, never silently another.
        precision: In what numbers torch computes a ``.safetensors`` file: a ``TorchPrecision`` or
            its value, half of them on CUDA alone. Exported files have their own.

    Raises:
        ConfigError: No such weights, device, provider or precision, or they do not go together.
        CheckpointError: The file is damaged or foreign.
        BackendUnavailable: The device or its libraries are not here.
    """
    device = choose(Device, device, "device")
    chosen = choose(TorchPrecision, precision, "precision")
    path = find_weights(weights, suffix=".onnx")
    if provider is not None:
        if path.suffix != ".onnx":
            raise ConfigError(
                f"providers run only ONNX files, not {path.name}",
                "Give an .onnx file, or leave --provider out.",
            )
        device = _device_of(provider, device)
    if chosen is not TorchPrecision.FP32 and path.suffix != ".safetensors":
        raise ConfigError(
            f"the precision of {path.name} is fixed; only .safetensors files allow a choice",
            "Export in the precision you want, or leave the precision at fp32.",
        )
    # Imported here because each engine is heavy and only one is needed.
    if provider == Provider.OPENVINO:
        from glamor_cli.runtimes.openvino import OpenVINORuntime

        return OpenVINORuntime(path, device=device, threads=threads)
    if path.suffix == ".safetensors":
        from glamor_cli.runtimes.torch import TorchRuntime

        return TorchRuntime(path, device=device, threads=threads, precision=chosen)
    if path.suffix == ".onnx":
        from glamor_cli.runtimes.onnx import OnnxRuntime

        return OnnxRuntime(path, device=device, threads=threads)
    from glamor_cli.runtimes.tensorrt import TensorRTRuntime

    return TensorRTRuntime(path, device=device)


def require_runtime(device: str, provider: str | None) -> None:
    """Find out before anything slow whether an ONNX file could be run as asked for.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        provider: A ``Provider`` or its value; None takes ONNX Runtime on ``device``.

    Raises:
        ConfigError: No such device or provider, or they do not go together.
        BackendUnavailable: Its libraries are not here.
    """
    device = choose(Device, device, "device")
    if provider is not None:
        device = _device_of(provider, device)
    if provider == Provider.OPENVINO:
        from glamor_cli.system.openvino_graphs import load_openvino

        load_openvino()
    elif device == Device.CUDA:
        from glamor_cli.runtimes.onnx import require_cuda

        require_cuda()


def _device_of(provider: str, device: str) -> Device:
    """Check that a provider goes with a device, and tell the provider's."""
    needed = choose(Provider, provider, "provider").device
    if device not in (Device.AUTO, needed):
        raise ConfigError(
            f"{provider} runs on {needed}, not on {device}",
            "Leave --device or --provider out.",
        )
    return needed
