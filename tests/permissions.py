"""Permissions that bind root too, so that what they forbid is tested whoever runs the tests."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

# From linux/capability.h; ours is the form of 64 bits in two words.
_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """Let this thread, if it is root's, lay down its power to ignore files' permissions."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root ignores permissions here, and cannot be kept from it")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words first
    _call(libc.capget, header, words)
    before = words[0]
    words[0] = before & ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    _call(libc.capset, header, words)
    try:
        yield
    finally:
        words[0] = before
        _call(libc.capset, header, words)


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
