"""Which NVIDIA GPUs the driver has, asked without torch."""

import ctypes
import sys
from dataclasses import dataclass

# cuDeviceGetAttribute's numbers.
_MAJOR, _MINOR = 75, 76


@dataclass(frozen=True)
class Gpu:
    """One device.

    Attributes:
        name: As the driver calls it.
        architecture: Its compute capability as TensorRT writes it: ``SM89``.
    """

    name: str
    architecture: str


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver and what it drives.

    Attributes:
        cuda: The newest CUDA version it can run: ``13.0``; empty without a driver.
        gpus: In the driver's order.
        problem: Why there is no GPU; empty if there is one.
    """

    cuda: str
    gpus: tuple[Gpu, ...]
    problem: str = ""


def query_driver() -> Driver:
    """Ask the driver for its devices."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return Driver("", (), f"no NVIDIA driver ({library} is missing)")
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    known = f"{version.value // 1000}.{version.value % 1000 // 10}"
    status = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if status != 0:
        return Driver(known, (), f"the NVIDIA driver finds no usable GPU (CUDA error {status})")
    if count.value == 0:
        return Driver(known, (), "the NVIDIA driver lists no GPU")
    return Driver(known, tuple(_gpu(cuda, index) for index in range(count.value)))


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    return Gpu(name.value.decode(), f"SM{major.value}{minor.value}")
