"""What a process and all that it started use, read from /proc.

Knows: processes, threads, their memory and sockets. Does not know: limits, and what follows from exceeding them.

A process is found through the thread that started it, and once found it is followed, whoever becomes its parent. Memory
is what no file holds: private and shared memory, and the buffers that open sockets may fill. Pages that several
processes share are counted once where a limit hangs on it.
"""

from __future__ import annotations

# ruff: noqa: PTH115, PTH123, PTH208 - looked at every 50 ms, pathlib takes three times as long
import contextlib
import os
from typing import NamedTuple

_SOCKET_BYTES = 425_984  # most that the kernel keeps in one direction of a socket, as it counts
_FEW_DESCRIPTORS = 24
_KB = 1024


class ProcessUsage(NamedTuple):
    """What is used at one moment.

    Attributes:
        processes: Processes, and threads beyond the first of each.
        memory_bytes: Memory that no file holds.
    """

    processes: int
    memory_bytes: int


class ProcessTree:
    """Everything below a process.

    Args:
        root: Id of the process, which itself is not counted.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._known: dict[int, str] = {}  # start time by id: an id may be given again

    def usage(self, limit_bytes: int) -> ProcessUsage:
        """What is used now.

        Args:
            limit_bytes: From where on memory is measured exactly, which takes longer.
        """
        found = self._below()
        memory = {pid: _memory_of_process(pid) for pid in found}
        sockets = _open_sockets(found) * _SOCKET_BYTES
        used = sum(memory.values())
        for _ in range(
            2
        ):  # shares change hands while they are read: what is too much twice is too much
            if used + sockets > limit_bytes:
                exact = sum(_shared_once(pid, rough) for pid, rough in memory.items())
                used = min(used, exact)
        return ProcessUsage(len(found), used + sockets)

    def _below(self) -> list[int]:
        """Ids of all processes below the root, and of those that were below it at an earlier look."""
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
    """Processes that any thread of a process has started."""
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
    """When a process started, in ticks; empty where it is gone."""
    after_name = _read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return after_name[19] if len(after_name) > 19 and after_name[0] != "Z" else ""


def _memory_of_process(pid: int) -> int:
    """Private and shared memory of a process, each page counted in every process that has it."""
    return _sum_of(f"/proc/{pid}/status", ("RssAnon:", "RssShmem:", "VmSwap:"))


def _shared_once(pid: int, otherwise: int) -> int:
    """The same with a page that n processes share counted as one n-th; else the rough figure."""
    path = f"/proc/{pid}/smaps_rollup"
    exact = _sum_of(path, ("Pss_Anon:", "Pss_Shmem:", "SwapPss:"))
    return exact or otherwise


def _sum_of(path: str, names: tuple[str, ...]) -> int:
    lines = (line.split() for line in _read_text(path).splitlines())
    return sum(int(words[1]) * _KB for words in lines if len(words) > 1 and words[0] in names)


def _open_sockets(pids: list[int]) -> int:
    """Open sockets of processes that have many descriptors; one that several have is counted once."""
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
