"""Damage the files of a workspace at random: flips, cuts, inserts, swaps, zeros, noise.

    python benchmarks/reliability/damage.py [--quick] [--json FILE] [--trials N]

No reading may crash, no run may show unrecorded content without a counted loss, and missing runs
must be counted.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

from _report import options, report

from burnish.journal import events as e
from burnish.journal.writer import JournalWriter
from burnish.settings import Settings
from burnish.testing.recording import Recording
from burnish.workspace import Workspace

KINDS = ("flip", "flips", "cut", "insert", "swap", "zeros", "noise", "end", "empty")
COUNTS = ("torn_tails", "corrupt", "unknown_events", "unreadable", "stray", "damaged_files")
COUNTS += ("lost_events", "wrong_contents", "unreadable_runs")


def make(base: Path) -> dict[str, bytes]:
    """Make a workspace with archived and other segments; return the contents of its runs."""
    home = base / "work" / "home"
    for part in range(2):
        writer = JournalWriter(home, Settings(segment_bytes=20_000))
        recording = Recording(home, writer)
        for number in range(20):
            run = f"{part * 100 + number:032x}"
            recording.write_run(run, thread_id=f"t{run}", user=f"u{run}", task=f"wish {run}")
        writer.close()
        if not part:
            Workspace(home).archive(f"file://{base}/work/archive")
    Workspace(home).forget(user=f"u{3:032x}")
    told = {run.id: e.canonical(run) for run in Workspace(home).trajectories()}
    (base / "work").rename(base / "template")
    return told


def damaged(content: bytes, how: str, chance: random.Random) -> bytes:
    data = bytearray(content)
    at, length = chance.randrange(len(data)), chance.randint(1, 300)
    if how in ("flip", "flips"):
        for _ in range(1 if how == "flip" else 20):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == "cut":
        del data[at : at + length]
    elif how == "insert":
        data[at:at] = chance.randbytes(length)
    elif how == "swap":
        one, two = data[at : at + length], data[at + length : at + 2 * length]
        data[at : at + 2 * length] = two + one
    elif how == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif how == "noise":
        data[at:] = chance.randbytes(len(data) - at)
    elif how == "end":
        del data[at:]
    else:
        data.clear()
    return bytes(data)


def main() -> int:
    parser = options(__doc__ or "")
    parser.add_argument("--trials", type=int, default=1000)
    chosen = parser.parse_args()
    trials = 150 if chosen.quick else chosen.trials
    chance = random.Random(chosen.seed)
    base = Path(tempfile.mkdtemp(prefix="damage-"))
    told = make(base)
    template = base / "template"
    names = [path.relative_to(template) for path in template.rglob("*") if path.is_file()]
    names = sorted(name for name in names if (template / name).stat().st_size)
    figures = dict.fromkeys(
        ("trials", "crashes", "forged", "uncounted", "missing", "with_losses"), 0
    )
    for _ in range(trials):
        work = base / "work"
        shutil.copytree(template, work)
        name, how = chance.choice(names), chance.choice(KINDS)
        (work / name).write_bytes(damaged((work / name).read_bytes(), how, chance))
        if chance.random() < 0.5:
            shutil.rmtree(work / "home/cache", ignore_errors=True)
            (work / "home/index.sqlite").unlink(missing_ok=True)
        figures["trials"] += 1
        try:
            workspace = Workspace(work / "home")
            found = {run.id: run for run in workspace.trajectories()}
            counts = workspace.read_report()
        except Exception as error:  # noqa: BLE001 - counted
            print(f"{name} {how}: {error!r}")
            figures["crashes"] += 1
            shutil.rmtree(work)
            continue
        missing = told.keys() - found.keys()
        figures["missing"] += len(missing)
        figures["with_losses"] += sum(bool(run.losses) for run in found.values())
        for key, run in found.items():
            if key not in told or (e.canonical(run) != told[key] and not run.losses):
                print(f"{name} {how}: {key} says something else: {run}")
                figures["forged"] += 1
        if missing and not any(getattr(counts, count) for count in COUNTS):
            print(f"{name} {how}: {len(missing)} runs are missing, nothing is counted")
            figures["uncounted"] += 1
        shutil.rmtree(work)
    shutil.rmtree(base)
    return report(chosen, figures, files=len(names), runs=len(told), pid=os.getpid())


if __name__ == "__main__":
    raise SystemExit(main())
