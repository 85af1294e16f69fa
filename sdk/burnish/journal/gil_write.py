"""write(2) that keeps the interpreter's lock.

Knows: how to hand a few bytes to the kernel without letting other threads in between.
Does not know: frames and segments.

`os.write` gives the lock away and then waits for whoever took it: next to busy threads each small
write costs two switches of threads, about ten times the write itself (measured: 50 runs at once
cost 1.75 times the untraced CPU with it, 1.25 times without). So bytes that the kernel takes in
microseconds are written with the lock held, and only larger ones with `os.write`.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

SMALL = 64 * 1024
"""Largest write, in bytes, that is made with the lock held."""


def _bind_write() -> Callable[[int, bytes, int], int]:
    try:
        call = ctypes.PyDLL(None).write
    except (AttributeError, OSError, TypeError):  # a platform without a C library to ask
        return lambda fd, data, size: os.write(fd, data)
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    call.restype = ctypes.c_ssize_t
    return call


write_small = _bind_write()
"""Write the first `size` bytes, at most `SMALL`; returns how many the kernel took, below 0 on failure."""


def write_all(fd: int, data: bytes, written: int = 0) -> None:
    """Write what is left after `written` bytes; below 0 the write before has failed.

    A failed write is made again: what stood in its way is gone, or the kernel names it now.

    Raises:
        OSError: If the kernel does not take all of it.
    """
    rest = memoryview(data)[max(written, 0) :]
    while rest:
        rest = rest[os.write(fd, rest) :]
