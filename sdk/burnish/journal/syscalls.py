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
import errno
import os
from collections.abc import Callable

SMALL = 64 * 1024
"""Largest write, in bytes, that is made with the lock held."""


def _held() -> Callable[[int, bytes], int]:
    try:
        call = ctypes.PyDLL(None, use_errno=True).write
    except (AttributeError, OSError, TypeError):  # a platform without a C library to ask
        return os.write
    call.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    call.restype = ctypes.c_ssize_t

    def write(fd: int, data: bytes) -> int:
        written = call(fd, data, len(data))
        while written < 0:
            number = ctypes.get_errno()
            if number != errno.EINTR:
                raise OSError(number, os.strerror(number))
            written = call(fd, data, len(data))
        return written

    return write


write_small = _held()
"""Write at most `SMALL` bytes; returns how many the kernel took. Raises OSError."""
