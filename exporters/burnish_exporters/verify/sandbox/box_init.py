"""Process 1 of a sandbox: isolate, start the program, wait for its end and report it.

This file runs alone, `python -I -S` on the file or on its source: it imports only the standard
library, and nothing of burnish. It gets three descriptors: the settings (JSON), the target of its
report (JSON), and a pipe that closes when the starting process ends.

How it works: as process 1 of a process namespace it cannot be signalled by the program, and when it
ends the kernel ends everything that the program started. It ends when the program ends, when the
pipe closes, and some seconds after the program's time is over, in case the starting process cannot
end it. It uses Linux namespaces, mounts, resource limits and a filter of system calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any

BOX = "/box"
UNPRIVILEGED = 1000
_INODES = 20_000
_GRACE_S = 5.0

_NEW_NS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_RDONLY = 0x2, 0x4, 0x20, 0x1
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP = 1, 4, 22, 24
_PR_SET_NO_NEW_PRIVS = 38
_MOUNT_SETATTR = 442
_AT_RECURSIVE = 0x8000

# System calls that could keep memory past every limit, undo the isolation or look into process 1:
# x86_64, arm64.
_DENIED = {
    0xC000003E: (
        29, 30, 64, 68, 101, 155, 165, 166, 167, 175, 246, 248, 249, 250, 272, 298, 300, 304, 308, 310, 311, 313, 319, 321,
        323, 425, 428, 429, 430, 431, 432, 438, 442, 447,
    ),
    0xC00000B7: (
        39, 40, 41, 97, 104, 105, 117, 186, 190, 194, 196, 217, 218, 219, 224, 241, 262, 265, 268, 270, 271, 273, 279, 280,
        282, 425, 428, 429, 430, 431, 432, 438, 442, 447,
    ),
}  # fmt: skip
_CLONE = {0xC000003E: 56, 0xC00000B7: 220}
_CLONE3, _EPERM, _ENOSYS = 435, 1, 38

_SOCKETS = {0xC000003E: (41, 53), 0xC00000B7: (198, 199)}  # socket, socketpair
_FAMILIES = (
    1,
    2,
    10,
)  # AF_UNIX, AF_INET, AF_INET6; other families lie outside the network namespace, or reach the kernel
_EAFNOSUPPORT = 97
_USUAL = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ,
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Isolate this process, run the program, report how it ended."""
    with os.fdopen(int(sys.argv[1]), "rb") as settings:
        settings.seek(0)
        config: dict[str, Any] = json.load(settings)
    report, alive = int(sys.argv[2]), int(sys.argv[3])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the program may send them to process 1
    if config["namespaces"]:
        _enter_namespaces(config)
    try:
        if not config["namespaces"]:
            _limit_folder(config)
        ended = _run_program(config, alive)
    except OSError as problem:
        ended = {"problem": f"{type(problem).__name__}: {problem}"}
    os.write(report, json.dumps(ended).encode())
    os._exit(0)


def _enter_namespaces(config: dict[str, Any]) -> None:
    """Return as process 1 of new namespaces, on its own file system; the caller waits outside."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _unshare_namespaces(config)
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _build_root(config)


def _unshare_namespaces(config: dict[str, Any]) -> None:
    """Create new namespaces of every kind; a user namespace only where the others need one."""
    kinds = _NEW_NS | _NEW_PID | _NEW_NET | _NEW_IPC | _NEW_UTS | _NEW_CGROUP
    user, group = os.geteuid(), os.getegid()
    if user == 0 and config["uid"] is not None and _libc.unshare(kinds) == 0:
        return
    config["uid"] = None
    _check_call(_libc.unshare(kinds | _NEW_USER), "unshare")
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{UNPRIVILEGED} {user} 1"),
        ("gid_map", f"{UNPRIVILEGED} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 - pathlib is not needed here
            file.write(line)


def _build_root(config: dict[str, Any]) -> None:
    """Build a root of read-only pieces and one folder of limited size; afterwards the old root is gone."""
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")  # noqa: S108
    os.mkdir("/tmp/old", 0o700)  # noqa: S108, PTH102
    _check_call(_libc.pivot_root(b"/tmp", b"/tmp/old"), "pivot_root")
    os.chdir("/")
    for path in config["readable"]:
        _show_path(path)
    for path, target in config["links"]:
        os.symlink(target, path)  # noqa: PTH211
    os.mkdir(BOX)  # noqa: PTH102
    _mount("tmpfs", BOX, "tmpfs", _MS_NOSUID | _MS_NODEV, f"{_folder_size(config)},mode=777")
    _check_call(_libc.umount2(b"/old", _DETACH), "umount")
    os.rmdir("/old")  # noqa: PTH106
    _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)


def _folder_size(config: dict[str, Any]) -> str:
    return f"size={config['limits']['disk_bytes']},nr_inodes={_INODES}"


def _limit_folder(config: dict[str, Any]) -> None:
    """Limit the number of files in the folder that bubblewrap made; file names take kernel memory."""
    _mount(None, BOX, None, _MS_REMOUNT | _MS_NOSUID | _MS_NODEV, _folder_size(config))


def _show_path(path: str) -> None:
    """Make a path of the old root visible, read-only."""
    source = f"/old{path}"
    if os.path.isdir(source):  # noqa: PTH112
        os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)  # noqa: PTH103, PTH120
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, path, None, _MS_BIND | _MS_REC)
    read_only = 0x1 | 0x2 | (0 if path.startswith("/dev/") else 0x4)
    attributes = struct.pack("QQQQ", read_only, 0, 0, 0)
    done = _libc.syscall(
        _MOUNT_SETATTR, -100, path.encode(), _AT_RECURSIVE, attributes, len(attributes)
    )
    _check_call(done, f"read-only {path}")


def _run_program(config: dict[str, Any], alive: int) -> dict[str, Any]:
    """Start the program as an unprivileged user and wait for its end."""
    os.umask(0o022)
    _become_nobody(config["uid"])
    _prctl(_PR_SET_DUMPABLE, 0)
    os.chdir(BOX)
    for name, text in config["files"].items():
        os.makedirs(os.path.dirname(f"{BOX}/{name}"), exist_ok=True)  # noqa: PTH103, PTH120
        with open(f"{BOX}/{name}", "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            file.write(text)
    woken, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    watch = select.poll()
    watch.register(woken, select.POLLIN)
    watch.register(alive, select.POLLIN)
    deadline = time.monotonic() + config["limits"]["wall_s"] + _GRACE_S
    if watch.poll(0):  # the starting process is already gone
        os._exit(1)
    child = os.fork()
    if child == 0:
        _become_program(config)
    while (left := deadline - time.monotonic()) > 0:
        found = {number for number, _ in watch.poll(left * 1000)}
        if alive in found:
            os._exit(1)
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        ended = _read_end(child)
        if ended is not None:
            return ended
    os._exit(1)


def _read_end(child: int) -> dict[str, Any] | None:
    """Return how the program ended; None while it runs. Also reap orphans, which become children of process 1."""
    while True:
        try:
            ended, status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == 0:
            return None
        if ended == child:
            return {
                "code": os.waitstatus_to_exitcode(status),
                "cpu_s": used.ru_utime + used.ru_stime,
                "most_bytes": used.ru_maxrss * 1024,
            }


def _become_nobody(uid: int | None) -> None:
    """Drop every privilege for good."""
    if uid is not None:
        os.chmod(BOX, 0o777)  # noqa: PTH101, S103
        for capability in range(64):
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header, none = struct.pack("Ii", 0x20080522, 0), struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
    _check_call(_libc.capset(header, none), "capset")
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _become_program(config: dict[str, Any]) -> None:
    """Replace this process by the program; never returns."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _USUAL:
            signal.signal(number, signal.SIG_DFL)
        kept = _place_descriptors(config["descriptors"])
        os.closerange(3 + len(kept), 65536)
        for kind, most in _list_limits(config["limits"]):
            hard = resource.getrlimit(kind)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (least, least))
        _deny_calls()
        os.execvpe(config["command"][0], config["command"], config["environment"])  # noqa: S606
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.write(2, f"{type(problem).__name__}: {problem}\n".encode())
    finally:
        os._exit(127)


def _place_descriptors(descriptors: list[int]) -> list[int]:
    """Move the descriptors for the program to 3, 4, ..."""
    high = [fcntl.fcntl(found, fcntl.F_DUPFD_CLOEXEC, 256) for found in descriptors]
    return [os.dup2(found, 3 + place, inheritable=True) for place, found in enumerate(high)]


def _list_limits(limits: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, max(1, round(limits["cpu_s"]))),
        (resource.RLIMIT_FSIZE, limits["disk_bytes"]),
        (resource.RLIMIT_NOFILE, 128),
        (resource.RLIMIT_NPROC, limits["processes"] + 1),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ]


def _deny_calls() -> None:
    """Install a filter of system calls (seccomp), on machine types that we know."""
    machine = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(os.uname().machine)
    if machine is None:
        return
    load, equal, least, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, absent = 0x7FFF0000, 0x50000 | _EPERM, 0x50000 | _ENOSYS
    code = [(load, 0, 0, 4), (equal, 1, 0, machine), (give, 0, 0, refuse), (load, 0, 0, 0)]
    code += [(least, 0, 1, 0x40000000), (give, 0, 0, refuse)]
    for number in _DENIED[machine]:
        code += [(equal, 0, 1, number), (give, 0, 0, refuse)]
    code += [(equal, 0, 1, _CLONE3), (give, 0, 0, absent)]
    for number in _SOCKETS[machine]:
        code += [(equal, 0, len(_FAMILIES) + 3, number), (load, 0, 0, 16)]
        code += [
            (equal, len(_FAMILIES) - place, 0, family) for place, family in enumerate(_FAMILIES)
        ]
        code += [(give, 0, 0, 0x50000 | _EAFNOSUPPORT), (give, 0, 0, allow)]
    code += [(equal, 0, 3, _CLONE[machine]), (load, 0, 0, 16), (bits, 0, 1, _NEW_USER | _NEW_NS)]
    code += [(give, 0, 0, refuse), (give, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
    filtered = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    _check_call(_libc.prctl(_PR_SET_SECCOMP, 2, filtered, 0, 0), "seccomp")


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    given = [None if value is None else value.encode() for value in (source, target, kind)]
    done = _libc.mount(*given, ctypes.c_ulong(flags), data.encode() or None)
    _check_call(done, f"mount {target}")


def _prctl(option: int, value: int) -> None:
    _check_call(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _check_call(done: int, what: str) -> None:
    if done != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
