"""Run untrusted programs: no network, no files but their own folder, limits on every resource.

`run()` runs one program, `run_together()` watches several boxes.

How it works: bubblewrap or the kernel's namespaces isolate the program; `ways()` tests which of
them this machine has. Without either there is one error, and nothing runs. Inside, a program sees
the interpreter and the system's libraries, read-only, and the empty folder `/box`, which is its
home and vanishes with it. It runs as a user that owns nothing. When the program ends or is killed,
everything that it started ends too.

process_tree.py measures memory and processes of the whole sandbox from outside, besides the
kernel's limits for each process. This process holds one end of a pipe; when it is killed, at any
moment, process 1 of the sandbox sees the pipe close and exits, and the kernel ends the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from burnish.errors import VerificationError
from burnish_exporters.verify.sandbox.process_tree import ProcessTree, children_of

Way = Literal["bubblewrap", "namespaces"]
BOX = "/box"

_INSIDE = Path(__file__).with_name("box_init.py")
_LOOK_EVERY_S = 0.05
_LEAST_USER = 1000
_ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Resources that a program may use.

    Attributes:
        wall_s: Seconds by the clock.
        cpu_s: Seconds of processor time of each process; whole seconds, at least 1.
        memory_bytes: Memory of all its processes together, and address space of each.
        disk_bytes: Size of its folder.
        processes: Processes and threads at one time.
        output_bytes: Largest output.
    """

    wall_s: float = 10.0
    cpu_s: float = 10.0
    memory_bytes: int = 1024**3
    disk_bytes: int = 64 * 1024**2
    processes: int = 64
    output_bytes: int = 1024**2


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program to run.

    Attributes:
        command: Program and arguments; by default this Python on `main.py`.
        files: Content by path inside the folder.
        stdin: Content of its standard input.
        environment: Variables besides PATH, HOME and the language.
        descriptors: Open descriptors that it finds as 3, 4, ...
        report_bytes: Largest report on one more descriptor after these, beside its output; 0 opens
            none.
    """

    command: Sequence[str] = (sys.executable, "main.py")
    files: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()
    report_bytes: int = 0


class ProgramRun(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a program.

    Attributes:
        ended: "exit" by itself, or the limit that ended it; "lost" if the sandbox itself broke.
        code: Exit code; minus the signal number after a signal; None if it was ended from outside.
        stdout: Its standard output, as bytes.
        stderr: Its standard error, as bytes.
        seconds: Duration by the clock.
        report: Bytes that it wrote to its report descriptor.
    """

    ended: Literal["exit", "time limit", "memory limit", "process limit", "output limit", "lost"]
    code: int | None
    stdout: bytes
    stderr: bytes
    seconds: float
    report: bytes = b""


class Box:
    """One sandbox with one program, which starts at once.

    Raises:
        VerificationError: If a file's path leads out of the folder.
    """

    def __init__(self, program: Program, limits: Limits, way: Way) -> None:
        self.limits, self.ended = limits, ""
        self.output: dict[int, bytearray] = {}
        self._room: dict[int, int] = {}  # bytes that a stream may still deliver
        self._started = time.monotonic()
        user = _draw_user() if os.geteuid() == 0 else None
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            ends = [_open_pipe(ours, theirs) for _ in range(2 if program.report_bytes else 1)]
            self._report, told = ends[0]
            self._extra, *more = ends[1] if program.report_bytes else (None,)
            alive, self._alive = os.pipe()
            theirs.callback(os.close, alive)
            ours.callback(os.close, self._alive)
            descriptors = (*program.descriptors, *more)
            settings = _settings_inside(program, limits, way, user)
            settings["descriptors"] = list(descriptors)
            given = _seal_content(theirs, json.dumps(settings).encode())
            stdin = _seal_content(theirs, program.stdin)
            passed = (given, told, alive)
            self.process = subprocess.Popen(  # noqa: S603 - shutting it in is what this is for
                _build_command(way, passed, limits, user),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(*passed, *descriptors),
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
            ours.pop_all()
        self._watched = ProcessTree(self.process.pid)
        for stream in self.streams():
            os.set_blocking(stream.fileno(), False)
            self.output[stream.fileno()] = bytearray()
            self._room[stream.fileno()] = limits.output_bytes + 4096
        if self._extra is not None:
            self._room[self._extra.fileno()] = program.report_bytes

    def streams(self) -> list[BinaryIO]:
        """Return standard output, standard error and the report stream, to be read until they end."""
        assert self.process.stdout is not None  # noqa: S101 - asked for above
        assert self.process.stderr is not None  # noqa: S101
        found = [self.process.stdout, self.process.stderr, self._report, self._extra]
        return [stream for stream in found if stream is not None]  # type: ignore[misc]

    def read(self, stream: BinaryIO) -> bool:
        """Read available bytes of a stream; False at its end. Bytes beyond the stream's limit are discarded."""
        chunk = os.read(stream.fileno(), 1 << 16)
        number = stream.fileno()
        self.output[number] += chunk[: self._room[number]]
        self._room[number] -= len(chunk)
        if self._room[number] < 0 or self._printed() > self.limits.output_bytes + 4096:
            self.end("output limit")
        return bool(chunk)

    def _printed(self) -> int:
        extra = len(self.output[self._extra.fileno()]) if self._extra is not None else 0
        return sum(map(len, self.output.values())) - extra

    def look(self) -> None:
        """End the program if it uses too much."""
        if time.monotonic() - self._started > self.limits.wall_s:
            self.end("time limit")
            return
        usage = self._watched.usage(self.limits.memory_bytes)
        if usage.memory_bytes > self.limits.memory_bytes:
            self.end("memory limit")
        elif usage.processes > self.limits.processes + 8:
            self.end("process limit")

    def end(self, why: str) -> None:
        """End the program and all that it started; the first reason counts."""
        self.ended = self.ended or why
        # Process 1 of the sandbox ends all others with it; its parent exits when all are gone.
        for pid in children_of(self.process.pid) or [self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> ProgramRun:
        """Wait for the end and return the result."""
        stdout, stderr, told, *more = (bytes(self.output[s.fileno()]) for s in self.streams())
        self.process.wait()
        os.close(self._alive)
        for stream in self.streams():
            stream.close()
        report: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            report = json.loads(told)
        most = self.limits.output_bytes
        detail = report.get("problem", "")
        if report.get("code") in (-9, -24) and report["cpu_s"] > 0.8 * self.limits.cpu_s:
            self.ended = self.ended or "time limit"
        return ProgramRun(
            ended=self.ended or ("exit" if "code" in report else "lost"),  # type: ignore[arg-type]
            code=None if self.ended else report.get("code"),
            stdout=stdout[:most],
            stderr=(stderr + detail.encode())[:most],
            seconds=time.monotonic() - self._started,
            report=more[0] if more else b"",
        )


def run(program: Program, limits: Limits | None = None, *, way: Way | None = None) -> ProgramRun:
    """Run one program to its end.

    Args:
        program: The program.
        limits: Resources that it may use.
        way: Kind of isolation; by default the first of ways().

    Raises:
        VerificationError: If this machine has no way to isolate a program.
    """
    box = Box(program, limits or Limits(), way or best_way())
    return run_together([box])[0]


def run_together(boxes: Sequence[Box], *, until: Box | None = None) -> list[ProgramRun]:
    """Watch several sandboxes until all have ended, or until the one in `until` has ended."""
    with selectors.DefaultSelector() as selector:
        for box in boxes:
            for stream in box.streams():
                selector.register(stream, selectors.EVENT_READ, box)
        try:
            _watch_boxes(selector, boxes, until)
        except BaseException:
            for box in boxes:
                box.end("time limit")
            raise
        finally:
            ran = [box.close() for box in boxes]
    return ran


def _watch_boxes(selector: selectors.BaseSelector, boxes: Sequence[Box], until: Box | None) -> None:
    look_next = 0.0
    while selector.get_map():
        for key, _ in selector.select(_LOOK_EVERY_S):
            stream: Any = key.fileobj
            if not key.data.read(stream):
                selector.unregister(stream)
        open_boxes = {id(key.data) for key in selector.get_map().values()}
        if time.monotonic() >= look_next:
            for box in boxes:
                if id(box) in open_boxes:
                    box.look()
            look_next = time.monotonic() + _LOOK_EVERY_S
        if until is not None and id(until) not in open_boxes:
            for box in boxes:
                if id(box) in open_boxes:
                    box.end("exit")


@lru_cache(maxsize=1)
def ways() -> tuple[Way, ...]:
    """Return the ways of isolation that work here, preferred first; each was tested by running a program."""
    candidates: tuple[Way, ...] = ("bubblewrap", "namespaces")
    return tuple(way for way in candidates if _does_way_work(way))


def best_way() -> Way:
    """Return the preferred way of isolation that works here.

    Raises:
        VerificationError: If there is none.
    """
    if not ways():
        raise VerificationError(
            f"no sandbox on this machine ({sys.platform}): neither bubblewrap nor kernel namespaces work",
            "one of them, because agent-written code runs only in a sandbox",
            "apt-get install bubblewrap",
        )
    return ways()[0]


def _does_way_work(way: Way) -> bool:
    if sys.platform != "linux" or (way == "bubblewrap" and shutil.which("bwrap") is None):
        return False
    program = Program(files={"main.py": "print('works')"})
    try:
        ran = run(program, Limits(wall_s=20), way=way)
    except OSError:
        return False
    return ran.ended == "exit" and ran.stdout == b"works\n"


def _open_pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[BinaryIO, int]:
    """Open a pipe; return our end for reading and the program's end for writing."""
    read_end, write_end = os.pipe()
    theirs.callback(os.close, write_end)
    return ours.enter_context(os.fdopen(read_end, "rb", buffering=0)), write_end  # type: ignore[return-value]


def _seal_content(theirs: contextlib.ExitStack, content: bytes) -> int:
    """Return a descriptor to read a content from; the content is sealed against changes and lies on no disk."""
    import fcntl

    made = os.memfd_create("burnish", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    theirs.callback(os.close, made)
    with os.fdopen(os.dup(made), "wb") as file:
        file.write(content)
    os.lseek(made, 0, os.SEEK_SET)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(made, fcntl.F_ADD_SEALS, seals)
    return made


def _settings_inside(
    program: Program, limits: Limits, way: Way, user: int | None
) -> dict[str, Any]:
    for name in program.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise VerificationError(
                f"a file named {name!r}", "a path inside the folder", "rename it"
            )
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": BOX,
        "TMPDIR": BOX,
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        **program.environment,
    }
    return {
        "namespaces": way == "namespaces",
        "uid": user,
        "limits": asdict(limits),
        "command": list(program.command),
        "files": dict(program.files),
        "environment": environment,
        "readable": [*_readable_folders(), *_list_devices()],
        "links": _list_links(),
    }


def _build_command(
    way: Way, passed: tuple[int, ...], limits: Limits, user: int | None
) -> list[str]:
    python = [sys.executable, "-I", "-S"]
    given = [str(descriptor) for descriptor in passed]
    if way == "namespaces":
        return [*python, str(_INSIDE), *given]
    walls = [
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    if user is None:
        walls += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
    walls += ["--cap-add", "ALL"]  # dropped inside, after the folder has its limits
    shown = [*_readable_folders(), *_list_devices()]
    above = {str(folder) for path in shown for folder in Path(path).parents} - {"/"}
    for folder in sorted(above - set(shown)):
        walls += ["--perms", "0755", "--dir", folder]
    for path in _readable_folders():
        walls += ["--ro-bind", path, path]
    for path in _list_devices():
        walls += ["--dev-bind", path, path]
    for path, target in _list_links():
        walls += ["--symlink", target, path]
    walls += ["--perms", "0755", "--size", str(limits.disk_bytes), "--tmpfs", BOX]
    walls += ["--die-with-parent", "--as-pid-1", "--remount-ro", "/", "--chdir", BOX]
    return ["bwrap", *walls, "--", *python, "-c", _INSIDE.read_text("utf-8"), *given]


@lru_cache(maxsize=1)
def _readable_folders() -> tuple[str, ...]:
    """Return the system's and the interpreter's folders, and no folder of a user."""
    found = ["/usr"]
    found += [name for name in _ROOTS if Path(name).is_dir() and not Path(name).is_symlink()]
    for prefix in (sys.base_prefix, sys.base_exec_prefix, sys.prefix):
        if len(Path(prefix).parts) > 1 and not any(_is_within(prefix, known) for known in found):
            found.append(prefix)
    cache = "/etc/ld.so.cache"
    return (*found, cache) if Path(cache).is_file() else tuple(found)


def _is_within(path: str, folder: str) -> bool:
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


def _draw_user() -> int | None:
    """Draw a random unused user id, because the kernel counts processes by user; None if there is no range."""
    lines = Path("/proc/self/uid_map").read_text("ascii").splitlines()
    last = max(int(start) + int(length) - 1 for start, _, length in map(str.split, lines))
    last = min(last, 2**31 - 1)
    first = max(_LEAST_USER, last // 2)
    return random.SystemRandom().randint(first, last - 1) if last > first else None


def _list_devices() -> tuple[str, ...]:
    return tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))


@lru_cache(maxsize=1)
def _list_links() -> list[tuple[str, str]]:
    links = [(name, str(Path(name).readlink())) for name in _ROOTS if Path(name).is_symlink()]
    # An interpreter that lies there shows its own folders instead.
    usual = [name for name in ("/tmp", "/dev/shm") if not _shows_below(name)]  # noqa: S108
    return [*links, *((name, BOX) for name in usual)]


def _shows_below(folder: str) -> bool:
    return any(Path(path).is_relative_to(folder) for path in _readable_folders())
