"""Fill the disk at every stage: capture, outcome, reading, archive, forgetting, dataset.

    python benchmarks/reliability/full_disk.py [--quick] [--json FILE] [--rounds N]

Needs the right to mount a tmpfs (root). Each round fills it up to a few random KiB, works until
something fails, frees space, and checks: nothing acknowledged is lost, every error is one of
burnish, no draft is left behind.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from _report import options, report

from burnish.errors import BurnishError
from burnish.journal.writer import JournalWriter
from burnish.records import Outcome
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

SMALL = Settings(segment_bytes=30_000)
SIZE = 3 << 20


def attempt(stage: str, work: Callable[[], object], found: Counter[str]) -> bool:
    """Run work that may fail for lack of space; return whether it was acknowledged."""
    try:
        work()
    except BurnishError:
        found[f"refused_{stage}"] += 1
        return False
    except Exception as error:  # noqa: BLE001 - counted
        print(f"{stage}: {error!r}")
        found["crashes"] += 1
        return False
    found[f"done_{stage}"] += 1
    return True


def one_round(base: Path, chance: random.Random, found: Counter[str]) -> None:
    home = base / "home"
    acknowledged: set[str] = set()
    gone: set[str] = set()
    outcomes: set[str] = set()
    writer = JournalWriter(home, SMALL)
    recording = Recording(home, writer)

    def record() -> None:
        run = f"{chance.getrandbits(128):032x}"
        if attempt(
            "capture", lambda: recording.write_run(run, user=f"u{run}", thread_id=run), found
        ):
            acknowledged.add(run)

    def outcome() -> None:
        run = chance.choice(sorted(acknowledged))
        told = Outcome(success=True, source="crm")
        if attempt(
            "outcome", lambda: Workspace(home).append_outcome(told, trajectory_id=run), found
        ):
            outcomes.add(run)

    def forget() -> None:
        run = chance.choice(sorted(acknowledged))
        gone.add(run)
        attempt("forget", lambda: Workspace(home).forget(user=f"u{run}"), found)

    stages = {
        "capture": record,
        "outcome": outcome,
        "read": lambda: attempt("read", lambda: list(Workspace(home).trajectories()), found),
        "archive": lambda: attempt(
            "archive", lambda: Workspace(home).archive(f"file://{base}/archive"), found
        ),
        "forget": forget,
    }
    for _ in range(10):
        record()
    ballast = base / "ballast"
    for _ in range(12):
        free = shutil.disk_usage(base).free
        ballast.write_bytes(bytes(max(0, free - chance.randrange(0, 60_000))))
        for _ in range(6):
            stages[chance.choice(list(stages))]()
        ballast.unlink()
    writer.close()
    for run in sorted(gone):
        Workspace(home).forget(user=f"u{run}")
    count_what_is_there(base, acknowledged, gone, outcomes, found)


def count_what_is_there(
    base: Path, acknowledged: set[str], gone: set[str], outcomes: set[str], found: Counter[str]
) -> None:
    """Count acknowledged runs and outcomes that cannot be read, and leftover drafts."""
    runs = {run.id: run for run in Workspace(base / "home").trajectories()}
    found["acknowledged"] += len(acknowledged)
    found["lost"] += len(acknowledged - gone - runs.keys())
    found["lost"] += sum(not runs[key].outcomes for key in outcomes & runs.keys())
    found["wrong"] += sum(bool(runs[key].losses) for key in acknowledged & runs.keys())
    found["drafts"] += sum(path.name.endswith(".new") for path in base.rglob("*"))


def main() -> int:
    parser = options(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=31)
    chosen = parser.parse_args()
    rounds = 4 if chosen.quick else chosen.rounds
    chance = random.Random(chosen.seed)
    found: Counter[str] = Counter(lost=0, wrong=0, crashes=0, drafts=0)
    for _ in range(rounds):
        base = Path(tempfile.mkdtemp(prefix="full-disk-"))
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(base)],
            check=True,
        )
        try:
            one_round(base, chance, found)
        finally:
            subprocess.run(["umount", "-l", str(base)], check=True)
            base.rmdir()
    return report(chosen, dict(found), rounds=rounds, disk_bytes=SIZE)


if __name__ == "__main__":
    raise SystemExit(main())
