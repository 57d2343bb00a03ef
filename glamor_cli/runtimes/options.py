"""What can be chosen of a runtime. Free of NumPy, for the command line."""

from enum import StrEnum

from glamor_cli.system.onnx_providers import CPU_PROVIDER, CUDA_PROVIDER

FACES_AT_ONCE = 16
"""How many faces of photographs the network sees at once, unless told otherwise."""
PAIRS_AT_ONCE = 32
"""How many pairs of a store."""


class Device(StrEnum):
    """What the network runs on."""

    AUTO = "auto"
    """A GPU where one works, else the CPU."""
    CPU = "cpu"
    CUDA = "cuda"


class Provider(StrEnum):
    """What runs an ONNX file."""

    CPU = CPU_PROVIDER
    """ONNX Runtime on the CPU."""
    CUDA = CUDA_PROVIDER
    """ONNX Runtime on an NVIDIA GPU."""
    OPENVINO = "openvino"
    """OpenVINO on the CPU, in bfloat16 where the CPU has it."""

    @property
    def device(self) -> Device:
        """Where it runs."""
        return Device.CUDA if self is Provider.CUDA else Device.CPU


class Arithmetic(StrEnum):
    """How an engine computes what a graph says; it decides how far its answers may be off."""

    AS_WRITTEN = "as written"
    """In the graph's own numbers; what is in half precision is added up in float32."""
    BFLOAT16 = "bfloat16"
    """Floats are multiplied so, which moves answers by about 1e-2."""
    HALF_SUMS = "half sums"
    """What is in half precision is added up in it, too: by as much as 5e-3."""


class TorchPrecision(StrEnum):
    """In what numbers torch computes; inputs and answers stay float32."""

    FP32 = "fp32"
    """TF32 stays off: it would move the answers by 1e-3."""
    FP16 = "fp16"
    """On CUDA only; moves the probabilities by about 1e-3."""
    BF16 = "bf16"
    """On CUDA only; moves the probabilities by about 1e-2."""
