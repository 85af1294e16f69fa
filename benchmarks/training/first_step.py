"""Measure how long `burnish retrain` takes from its start to the first step of training.

usage: python benchmarks/training/first_step.py [--quick] [--json FILE]

`burnish retrain` of the support desk makes fresh runs, a dataset and its first step, and is ended
there; then it runs again in new processes without fresh runs and with another seed, so that it
trains again: everything that is read from the disk is in the page cache. The clock runs from the start of the process, with
the imports, to the first line of the training's metrics. Figures: first_step_seconds (median),
first_step_worst, and the seconds of each stage before the training.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DESK = Path(__file__).parents[2] / "examples" / "support_desk"
ROLLOUTS, QUICK_ROLLOUTS = 300, 96
REPEATS, QUICK_REPEATS = 5, 1
_POLL_S, _LIMIT_S = 0.02, 600.0


def retrain(project: Path, home: Path, *settings: str) -> subprocess.Popen[bytes]:
    """Start `burnish retrain` in a process of its own."""
    options = [option for one in settings for option in ("--set", one)]
    return subprocess.Popen(
        [sys.executable, "-m", "burnish.cli", "retrain", "support", "--yes", "--no-canary",
         "--again", "--home", str(home), *options],
        cwd=project,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


def list_trainings(home: Path) -> set[Path]:
    """Return the metrics of trainings that have made a step."""
    return {path for path in (home / "runs").glob("train-*/metrics.jsonl") if path.stat().st_size}


def time_first_step(project: Path, home: Path, *settings: str) -> tuple[float, dict[str, float]]:
    """Return the seconds to the first step of a new training, and those of the stages before it."""
    before, started = list_trainings(home), time.monotonic()
    process = retrain(project, home, *settings)
    try:
        while not list_trainings(home) - before:
            if process.poll() is not None or time.monotonic() - started > _LIMIT_S:
                raise RuntimeError(f"burnish retrain made no step (exit code {process.poll()})")
            time.sleep(_POLL_S)
        seconds = time.monotonic() - started
    finally:
        process.kill()
        process.wait()
    rounds = sorted((home / "runs").glob("retrain-support-*"), key=lambda one: one.stat().st_mtime)
    stages: dict[str, float] = {}
    for path in (rounds[-1] / "stages").glob("*.json"):
        stages[path.stem] = json.loads(path.read_text()).get("seconds", 0.0)
    return seconds, stages


def measure(
    folder: Path, rollouts: int, repeats: int
) -> tuple[list[float], list[dict[str, float]]]:
    """Make fresh runs and a first step, then measure several times."""
    project, home = folder / "desk", folder / "home"
    shutil.copytree(DESK, project)
    time_first_step(project, home, f"evaluate.rollouts={rollouts}")
    found = [
        time_first_step(project, home, "evaluate.rollouts=0", f"train.seed={1000 + number}")
        for number in range(repeats)
    ]
    return [seconds for seconds, _ in found], [stages for _, stages in found]


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="96 runs, one repetition")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rollouts = QUICK_ROLLOUTS if args.quick else ROLLOUTS
    repeats = QUICK_REPEATS if args.quick else REPEATS
    with tempfile.TemporaryDirectory() as folder:
        seconds, stages = measure(Path(folder), rollouts, repeats)
    figures = {
        "first_step_seconds": round(statistics.median(seconds), 2),
        "first_step_worst": round(max(seconds), 2),
    }
    conditions: dict[str, Any] = {
        "rollouts": rollouts,
        "repeats": repeats,
        "stages": stages,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    print(json.dumps({"figures": figures, "conditions": conditions}, indent=1))
    if args.json:
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=1))


if __name__ == "__main__":
    main()
