"""Wrap the differences between operating systems: file locks, forced writes, forks, users.

Linux supports all functions. macOS has no `fdatasync` and no signal for the death of a parent.
Windows has no `flock` (it locks byte ranges), no fork and no numbered users. All other modules call
these functions and do not check the platform.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import os
import signal
import sys
from collections.abc import Callable
from typing import Literal

LockState = Literal["taken", "held elsewhere", "unsupported"]
"""Result of taking a lock: taken, held by another process, or not supported."""
_PR_SET_PDEATHSIG = 1


def take_lock(descriptor: int, *, shared: bool = False) -> LockState:
    """Lock an open file without waiting, until the descriptor is closed.

    Some network file systems have no locks: the result is then "unsupported".
    """
    try:
        import fcntl
    except ImportError:
        return _take_range_lock(descriptor)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held elsewhere"
    except OSError:
        return "unsupported"
    return "taken"


def _take_range_lock(descriptor: int) -> LockState:
    """Lock the first byte of a file, as Windows does; its locks are always exclusive."""
    try:
        import msvcrt
    except ImportError:
        return "unsupported"
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except PermissionError:
        return "held elsewhere"
    except OSError:
        return "unsupported"
    return "taken"


def force_data(descriptor: int) -> None:
    """Force the bytes of an open file to the disk; its times may follow later.

    Raises:
        OSError: If the disk reports an error.
    """
    getattr(os, "fdatasync", os.fsync)(descriptor)


def after_fork_in_child(callback: Callable[[], object]) -> None:
    """Register a function that runs in each forked child; a platform without fork never calls it."""
    register = getattr(os, "register_at_fork", None)
    if register is not None:
        register(after_in_child=callback)


def is_process_alive(pid: int) -> bool:
    """Return whether a process of this machine runs."""
    if sys.platform == "win32":
        return True  # `os.kill` would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def user_name() -> str:
    """Return the name of the user, or the number if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(getattr(os, "getuid", lambda: "unknown")())


def end_with_parent() -> None:
    """Make the kernel end this process when its parent ends; only Linux can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_memory(most_bytes: int | None) -> None:
    """Limit the memory of this process and disable core dumps, if the platform can."""
    try:
        import resource
    except ImportError:
        return
    if most_bytes:
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some limits
            resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def missing_features() -> list[str]:
    """Describe the features that this platform lacks, and the effects; empty on Linux."""
    missing: list[str] = []
    if not hasattr(os, "fdatasync"):
        missing.append("no fdatasync: each sync writes the file's times too, which is slower")
    if not hasattr(os, "fork"):
        missing.append("no fork: start worker processes by spawning them")
    if not (_has_module("fcntl") or _has_module("msvcrt")):
        missing.append("no file locks: let one process at a time write and archive a workspace")
    if not hasattr(os, "geteuid"):
        missing.append("no numbered users: the owner of settings files is not checked")
    if sys.platform != "linux":
        missing.append("no sandbox: verifiers that run agent-written code are refused")
    return missing


def _has_module(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True
