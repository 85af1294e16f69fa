"""Measure the memory and processes that a process and all its descendants use, read from /proc.

How it works: a process is found through the thread that started it, and once found it is followed,
even if it gets another parent. Memory means pages that no file holds, private and shared, and the
buffers that open sockets may fill. Where a limit depends on it, pages that several processes share
are counted once.
"""

from __future__ import annotations

# ruff: noqa: PTH115, PTH123, PTH208 - read every 50 ms, pathlib takes three times as long
import contextlib
import os
from typing import NamedTuple

_SOCKET_BYTES = (
    425_984  # most that the kernel keeps in one direction of a socket, by its own accounting
)
_FEW_DESCRIPTORS = 24
_KB = 1024


class ProcessUsage(NamedTuple):
    """Usage at one moment.

    Attributes:
        processes: Processes, and threads beyond the first of each.
        memory_bytes: Memory that no file holds.
    """

    processes: int
    memory_bytes: int


class ProcessTree:
    """All descendants of a process.

    Args:
        root: Id of the process, which itself is not counted.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._known: dict[int, str] = {}  # start time by id, because the kernel reuses ids

    def usage(self, limit_bytes: int) -> ProcessUsage:
        """Return the present usage.

        Args:
            limit_bytes: Threshold from which memory is measured exactly, which takes longer.
        """
        found = self._below()
        memory = {pid: _memory_of_process(pid) for pid in found}
        sockets = _open_sockets(found) * _SOCKET_BYTES
        used = sum(memory.values())
        for _ in range(
            2
        ):  # shares move between processes during the reading, so only a second excess counts
            if used + sockets > limit_bytes:
                exact = sum(_shared_once(pid, rough) for pid, rough in memory.items())
                used = min(used, exact)
        return ProcessUsage(len(found), used + sockets)

    def _below(self) -> list[int]:
        """Return ids of all processes below the root, and of those that an earlier look found there."""
        alive = {pid: start for pid, start in self._known.items() if _start_of(pid) == start}
        open_ids, found = [self._root, *alive], dict(alive)
        while open_ids:
            for child in children_of(open_ids.pop()):
                if child not in found:
                    found[child] = _start_of(child)
                    open_ids.append(child)
        self._known = {pid: start for pid, start in found.items() if start}
        return list(self._known)


def children_of(pid: int) -> list[int]:
    """Return the processes that any thread of a process has started."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, _read_text(f"/proc/{pid}/task/{thread}/children").split())
    return found


def _read_text(path: str) -> str:
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        return file.read()
    return ""


def _start_of(pid: int) -> str:
    """Return the start time of a process, in ticks; empty if it is gone."""
    after_name = _read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 and after_name[0] != "Z" else ""


def _memory_of_process(pid: int) -> int:
    """Return private and shared memory of a process; each process counts its shared pages in full."""
    return _sum_of(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:", "VmSwap:"))


def _shared_once(pid: int, otherwise: int) -> int:
    """Return the same with a page of n processes counted as one n-th; else the rough figure."""
    path = f"/proc/{pid}/smaps_rollup"
    exact = _sum_of(path, ("Pss_Anon:", "Pss_Shmem:", "SwapPss:"))
    return exact or otherwise


def _sum_of(path: str, names: tuple[str, ...]) -> int:
    lines = (line.split() for line in _read_text(path).splitlines())
    return sum(int(words[1]) * _KB for words in lines if len(words) > 1 and words[0] in names)


def _open_sockets(pids: list[int]) -> int:
    """Count the open sockets of processes that have many descriptors; a shared socket counts once."""
    found: set[str] = set()
    for pid in pids:
        folder = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            numbers = os.listdir(folder)
            if len(numbers) <= _FEW_DESCRIPTORS:
                continue
            for number in numbers:
                with contextlib.suppress(OSError):
                    target = os.readlink(f"{folder}/{number}")
                    if target.startswith("socket:"):
                        found.add(target)
    return len(found)
