"""Run every benchmark, or those named, and collect their figures.

usage: python benchmarks/run.py [--quick] [--out FOLDER] [AREA/NAME ...]

Each benchmark is a script that writes {"figures": ..., "conditions": ...} to the file
given with --json. benchmarks/RESULTS.md holds the published figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def scripts(chosen: list[str]) -> list[Path]:
    """Return the benchmark scripts, all or those named as area/name."""
    found = sorted(
        path
        for path in HERE.glob("*/*.py")
        if not path.name.startswith("_") and path.parent.name != "results"
    )
    if not chosen:
        return found
    wanted = {name.removesuffix(".py") for name in chosen}
    return [path for path in found if str(path.relative_to(HERE).with_suffix("")) in wanted]


def run(script: Path, out: Path, quick: bool) -> dict[str, object]:
    """Run one script; return its figures, or how it failed."""
    name = str(script.relative_to(HERE).with_suffix(""))
    target = out / f"{name.replace('/', '-')}.json"
    command = [sys.executable, str(script), "--json", str(target), *(["--quick"] if quick else [])]
    started = time.monotonic()
    done = subprocess.run(command, check=False)
    seconds = round(time.monotonic() - started, 1)
    if done.returncode or not target.exists():
        return {"name": name, "failed": done.returncode or "no figures", "seconds": seconds}
    return {"name": name, "seconds": seconds, **json.loads(target.read_text())["figures"]}


def main() -> int:
    """Run the benchmarks and print one line of JSON each; return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="area/name; all by default")
    parser.add_argument("--quick", action="store_true", help="under 50 s each")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results = []
    for script in scripts(args.names):
        results.append(run(script, args.out, args.quick))
        print(json.dumps(results[-1]), flush=True)
    return int(any("failed" in result for result in results))


if __name__ == "__main__":
    sys.exit(main())
