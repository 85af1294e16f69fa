"""Kill writers, a reader, forgetting and archiving with SIGKILL again and again while all run at once.

    python benchmarks/reliability/kill_writers.py [--quick] [--json FILE] [--seconds N]

At the end every acknowledged run that was not to be forgotten is read once, whole, and no byte of a
forgotten run is on the disk.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from _report import options, report
from fsspec.implementations.local import LocalFileSystem
from pyarrow import parquet

from burnish.errors import BurnishError
from burnish.journal.lifecycle.retention import keep
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

SMALL = Settings(segment_bytes=60_000)
LocalFileSystem()  # loaded once, before the children are forked


def marker(run: str) -> str:
    return f"SECRET-{run}-END"


def write(base: Path, role: int) -> None:
    """Record runs in an endless loop; a run is acknowledged once its line is in the file of this process."""
    chance = random.Random(f"{role} {os.getpid()} {time.time_ns()}")
    recording = Recording(base / "home", JournalWriter(base / "home", SMALL))
    with (base / "acknowledged" / f"{os.getpid()}-{time.time_ns()}").open("w") as told:
        while True:
            run = f"{chance.getrandbits(128):032x}"
            recording.write_run(
                run, user=f"u-{run}", thread_id=f"t-{run}", task=f"do {marker(run)}"
            )
            told.write(run + "\n")
            told.flush()
            time.sleep(0.002)


def read(base: Path, _: int) -> None:
    while True:
        for run in Workspace(base / "home").trajectories():
            assert run.id


def archive(base: Path, _: int) -> None:
    while True:
        Workspace(base / "home").archive(f"file://{base}/archive")
        keep(base / "home", SMALL)
        time.sleep(0.2)


def forget(base: Path, role: int) -> None:
    """Forget acknowledged runs; write down the name of each before the request."""
    chance = random.Random(f"{role} {os.getpid()} {time.time_ns()}")
    while True:
        known = acknowledged(base)
        if known:
            run = chance.choice(sorted(known))
            with (base / "asked").open("a") as asked:
                asked.write(run + "\n")
            Workspace(base / "home").forget(user=f"u-{run}")
        time.sleep(0.1)


def acknowledged(base: Path) -> set[str]:
    lines = [path.read_text().split("\n") for path in (base / "acknowledged").iterdir()]
    return {line for some in lines for line in some if len(line) == 32}


def start(work: Callable[[Path, int], None], base: Path, role: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        sys.stderr = (base / "errors").open("a")
        work(base, role)
    except BurnishError as error:
        print(f"{work.__name__}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    except BaseException as error:  # noqa: BLE001 - reported at the end
        print(f"CRASH {work.__name__}: {error!r}", file=sys.stderr, flush=True)
    os._exit(1)


def check(base: Path) -> dict[str, int]:
    """Finish interrupted work, then count the violations."""
    home = base / "home"
    asked = set((base / "asked").read_text().split()) if (base / "asked").exists() else set()
    for run in sorted(asked):
        Workspace(home).forget(user=f"u-{run}")
    known = acknowledged(base) - asked
    found: dict[str, int] = {}
    wrong = 0
    for run in Workspace(home).trajectories():
        found[run.id] = found.get(run.id, 0) + 1
        if run.id in known:
            wrong += bool(run.losses) or marker(run.id) not in str(run.model_calls)
    data = b"".join(contents(path) for path in base.rglob("*") if inside(base, path))
    report_ = Workspace(home).read_report()
    return {
        "acknowledged": len(acknowledged(base)),
        "forgotten": len(asked),
        "lost": len(known - found.keys()),
        "wrong": wrong,
        "duplicates": sum(count > 1 for count in found.values()),
        "left_of_forgotten": sum(marker(run).encode() in data for run in asked),
        "archived_segments": len(list((base / "archive").rglob("*.parquet"))),
        "torn_tails": report_.torn_tails,
        "corrupt": report_.corrupt,
        "unreadable": report_.unreadable,
        "crashes": (base / "errors").read_text().count("CRASH"),
    }


def inside(base: Path, path: Path) -> bool:
    return path.is_file() and path.relative_to(base).parts[0] in ("home", "archive")


def contents(path: Path) -> bytes:
    if path.suffix != ".parquet":
        return path.read_bytes()
    column = parquet.read_table(pa.BufferReader(path.read_bytes())).column("payload")
    return b"".join(column.to_pylist())


def main() -> int:
    parser = options(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=120)
    chosen = parser.parse_args()
    seconds = 12 if chosen.quick else chosen.seconds
    base = Path(tempfile.mkdtemp(prefix="kill-writers-"))
    (base / "acknowledged").mkdir()
    (base / "errors").touch()
    chance = random.Random(chosen.seed)
    roles = [write] * 4 + [read] + [archive] * 2 + [forget] * 2
    running = {start(work, base, role): (work, role) for role, work in enumerate(roles)}
    kills, ends = 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(chance.uniform(0.05, 0.5))
        child = chance.choice(sorted(running))
        work, role = running.pop(child)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        running[start(work, base, role)] = (work, role)
    for child in running:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    figures = {"kills": kills + len(running), **check(base)}
    errors = (base / "errors").read_text()
    code = report(chosen, figures, seconds=seconds, processes=len(roles))
    print(errors[-2000:], file=sys.stderr)
    if not code:
        shutil.rmtree(base)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
