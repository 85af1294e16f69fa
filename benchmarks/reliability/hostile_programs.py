"""Run hostile programs in every sandbox of this machine, and kill the parents of sandboxes.

    python benchmarks/reliability/hostile_programs.py [--quick] [--json FILE]

The hostile programs of the tests, and attempts to escape, run in each way of isolation that works
here, as this user and, if root can change to one, as a user without privileges. Counted are
programs of the wrong class, attempts that succeeded, and leftover processes. Then sandboxes start
in separate processes, which are killed at random moments of their first half second; counted are
the processes that survive.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import random
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from burnish.records import Trajectory
from burnish_exporters.verify import code, passes_tests
from burnish_exporters.verify.sandbox import box
from burnish_exporters.verify.sandbox.box import Limits, Program

_TOLD = runpy.run_path(
    str(Path(__file__).parents[2] / "tests" / "exporters" / "hostile_programs.py")
)
PROGRAMS: dict[str, tuple[str, str]] = _TOLD["PROGRAMS"]
SOLUTIONS: dict[str, tuple[str, str]] = _TOLD["SOLUTIONS"]
TESTS: str = _TOLD["TESTS"]

MB = 1024**2
LIMITS = {"wall_s": 60, "cpu_s": 40, "memory_bytes": 512 * MB, "processes": 30}
SHORT = {**LIMITS, "wall_s": 1.5, "cpu_s": 1}
SUBREAPER = 36
WITHOUT_PRIVILEGES = ("setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups")

# Each prints "escaped" if a forbidden operation succeeded.
ESCAPES = {
    "a device socket (AF_VSOCK)": "import socket; socket.socket(40, 1); print('escaped')",
    "the kernel's ciphers (AF_ALG)": "import socket; socket.socket(38, 5); print('escaped')",
    "the kernel's tables (AF_NETLINK)": "import socket; socket.socket(16, 3, 0); print('escaped')",
    "raw packets": "import socket; socket.socket(17, 3, 3); print('escaped')",
    "an abstract socket of the host": "import socket; s = socket.socket(1); s.connect('\\0/tmp/.X11-unix/X0'); print('escaped')",
    "a file system of its own": "import ctypes; assert ctypes.CDLL(None).mount(b't', b'/box', b'tmpfs', 0, None) == 0; print('escaped')",
    "the root made writable": "import ctypes; assert ctypes.CDLL(None).mount(None, b'/', None, 0x1020, None) == 0; print('escaped')",
    "another root": "import os; os.chroot('/box'); print('escaped')",
    "a name for the machine": "import socket; socket.sethostname('x'); print('escaped')",
    "a device of its own": "import os; os.mknod('/box/d', 0o60600, os.makedev(8, 0)); os.open('/box/d', 0); print('escaped')",
    "another process's memory": "import ctypes; assert ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0; print('escaped')",
    "more than its limits": "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (10000, 10000)); print('escaped')",
    "every user namespace": "import ctypes; l = ctypes.CDLL(None)\nfor f in (0x10000000, 0x20000, 0x40000000, 0x20000000, 0x8000000, 0x4000000, 0x2000000):\n    if l.unshare(f) == 0: print('escaped')",
    "clone3": "import ctypes; b = (ctypes.c_uint64 * 11)(0x10000000); r = ctypes.CDLL(None).syscall(435, b, 88); print('escaped' if r >= 0 else r)",
    "io_uring": "import ctypes; r = ctypes.CDLL(None).syscall(425, 8, (ctypes.c_char * 120)()); print('escaped' if r >= 0 else r)",
    "bpf": "import ctypes; r = ctypes.CDLL(None).syscall(321, 0, (ctypes.c_char * 120)(), 120); print('escaped' if r >= 0 else r)",
    "keys of the kernel": "import ctypes; r = ctypes.CDLL(None).syscall(248, b'user', b'x', b'y', 1, -1); print('escaped' if r >= 0 else r)",
    "System V memory": "import ctypes; r = ctypes.CDLL(None).syscall(29, 7, 1 << 20, 0o1600); print('escaped' if r >= 0 else r)",
    "the standard input as a file": "import os; os.ftruncate(0, 1 << 30); print('escaped')",
    "the terminal": "import os; os.open('/dev/tty', 2); print('escaped')",
    "variables of the caller": "import os; print('escaped' if 'BURNISH_BENCH' in os.environ else 'no')",
    "descriptors of the caller": "import os\nfor n in range(3, 500):\n    try: os.fstat(n); print('escaped')\n    except OSError: pass",
    "memory of a thread's children": "import os, threading, time\ndef go():\n    for i in range(4):\n        if os.fork() == 0:\n            x = bytearray(200 << 20); time.sleep(2); os._exit(0)\n    time.sleep(2.5)\nt = threading.Thread(target=go); t.start(); t.join(); print('escaped')",
    "memory that is shared": "import mmap, os, time\nfor i in range(4):\n    if os.fork() == 0:\n        x = mmap.mmap(-1, 200 << 20)\n        for j in range(0, 200 << 20, 4096): x[j] = 1\n        time.sleep(2); os._exit(0)\ntime.sleep(2.5); print('escaped')",
    "files without end": "n = 0\nwhile n < 40000:\n    open(f'f{n}', 'w').close(); n += 1\nprint('escaped')",
    "process 1 interrupted": "import os, time\nfor s in range(1, 32):\n    if s not in (9, 19):\n        os.kill(1, s)\ntime.sleep(.2); raise SystemExit(3)",
}  # fmt: skip

PARENT = (
    "import sys\nfrom burnish_exporters.verify.sandbox.box import Limits, Program, run\n"
    "text = 'import os, time; os.fork(); os.fork(); time.sleep(60)'\n"
    "sys.stdout.write('S'); sys.stdout.flush()\n"
    "run(Program(files={'main.py': text}), Limits(wall_s=60), way=sys.argv[1])\n"
)


def strays() -> set[int]:
    """Return the processes below this one that still run."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = process.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[int(process.parent.name)] = int(parent)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def left_after(seconds: float) -> int:
    """Count and kill the processes that still exist after so many seconds."""
    deadline = time.monotonic() + seconds
    while (found := strays()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in found:
        os.kill(pid, 9)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
    return len(found)


def judge_programs(way: box.Way, every: int) -> dict[str, int]:
    """Run every n-th program of the tests in one way of isolation."""
    box.ways.cache_clear()
    box.best_way = lambda: way  # type: ignore[assignment] - the way that is measured
    sys.modules["burnish_exporters.verify.checks.code_tests"].best_way = lambda: way  # type: ignore[attr-defined]
    found = {"programs": 0, "wrong_class": 0, "left": 0}
    cases = {"*": [{"stdin": "2 3", "stdout": "5"}]}
    for table, make in (
        (PROGRAMS, lambda limits: code(cases, limits=limits)),
        (SOLUTIONS, lambda limits: passes_tests({"*": TESTS}, limits=limits)),
    ):
        for kind, text in list(table.values())[::every]:
            run = Trajectory(
                id="1", agent="a", status="completed", answer=f"```python\n{text}\n```"
            )
            verdict = make(SHORT if kind == "time-out" else LIMITS).verify(run)
            found["programs"] += 1
            found["wrong_class"] += (verdict.evidence or {}).get("class") != kind
            found["left"] += left_after(2)
    return found


def try_to_escape(way: box.Way) -> dict[str, int]:
    """Run each attempt to escape; an attempt whose sandbox breaks counts as a success of the attempt."""
    found = {"attempts": 0, "escapes": 0, "left": 0}
    for name, text in ESCAPES.items():
        ran = box.run(
            Program(files={"main.py": text}), Limits(wall_s=20, memory_bytes=400 * MB), way=way
        )
        found["attempts"] += 1
        out = b"escaped" in ran.stdout or ran.ended == "lost"
        found["escapes"] += out
        found["left"] += left_after(2)
        if out:
            print(f"escaped ({way}): {name}: {ran}", file=sys.stderr)
    return found


def kill_parents(way: box.Way, kills: int, rng: random.Random) -> dict[str, int]:
    """Kill processes in the middle of running a sandbox."""
    found = {"kills": 0, "left": 0}
    for _ in range(kills):
        command = [sys.executable, "-c", PARENT, way]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.read(1)
        time.sleep(rng.choice([rng.uniform(0, 0.06), rng.uniform(0, 0.5)]))
        process.kill()
        process.wait()
        process.stdout.close()
        found["kills"] += 1
        found["left"] += bool(left_after(3))
    return found


def measure(quick: bool) -> dict[str, int]:
    """Return all counts of the ways of this user."""
    assert ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0) == 0
    os.environ["BURNISH_BENCH"] = "1"
    rng = random.Random(20)
    figures: dict[str, int] = {"ways": len(box.ways())}
    best = box.best_way
    for way in box.ways():
        for counts in (
            kill_parents(way, 3 if quick else 80, rng),
            try_to_escape(way),
            judge_programs(way, 10 if quick else 1),
        ):
            for name, count in counts.items():
                figures[name] = figures.get(name, 0) + count
    box.best_way = best
    return figures


def as_another_user(quick: bool) -> dict[str, int]:
    """Measure as a user without privileges; empty if no such user can run this interpreter."""
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return {}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": "/tmp"}
    for python in dict.fromkeys((sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")):
        again = [*WITHOUT_PRIVILEGES, python, __file__, "--inner", *(["--quick"] if quick else [])]
        try:
            done = subprocess.run(again, env=env, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        if (found := json.loads(done.stdout))["ways"]:
            return {f"user_{name}": count for name, count in found.items()}
    return {}


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    figures = measure(chosen.quick)
    if chosen.inner:
        print(json.dumps(figures))
        return
    figures |= as_another_user(chosen.quick)
    conditions: dict[str, Any] = {
        "ways": list(box.ways()),
        "user": os.geteuid(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "quick": chosen.quick,
    }
    told = json.dumps({"figures": figures, "conditions": conditions}, indent=2)
    print(told)
    if chosen.json:
        chosen.json.write_text(told)


if __name__ == "__main__":
    main()
