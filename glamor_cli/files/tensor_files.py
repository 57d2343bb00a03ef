"""Files of tensors, ``.safetensors``: writing them, and bounds on what is read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from glamor_cli.files.atomic import cannot_write
from glamor_cli.files.reading import open_file

if TYPE_CHECKING:
    from torch import Tensor

MAX_HEADER_BYTES = 4 * 2**20
"""Bytes of a ``.safetensors`` file's header; ours have 10 KB."""


def write_tensors(
    temporary: Path, tensors: "dict[str, Tensor]", metadata: dict[str, str], *, of: Path
) -> None:
    """Write a ``.safetensors`` file.

    Args:
        temporary: What ``atomic_path`` lent.
        tensors: Contiguous, on the CPU.
        metadata: Texts by name.
        of: The file that it will be, for the message.

    Raises:
        ConfigError: It cannot be written, for example because the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, temporary, metadata=metadata)
    except SafetensorError as error:
        raise cannot_write(of, error) from error


def check_bounds(path: Path, largest: int) -> None:
    """Refuse a ``.safetensors`` file that would take more memory than any of ours.

    Args:
        path: The file.
        largest: Bytes it may have.

    Raises:
        OSError: It is not a regular file, or cannot be read.
        ValueError: It, or its header, is too large or too short.
    """
    with open_file(path) as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(0)
        # The file begins with the length of its header, a little-endian number of 8 bytes.
        header = int.from_bytes(handle.read(8), "little")
    if size > largest:
        raise ValueError(f"{size} bytes, and no glamor network has over {largest}")
    if header > min(MAX_HEADER_BYTES, size - 8):
        raise ValueError(f"a header of {header} bytes in a file of {size}")
