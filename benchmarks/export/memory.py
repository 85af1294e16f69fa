"""Measure the memory of a build, and check that memory per span does not grow with their number.

Runs of four model calls are written to a journal as capture writes them, and built in another
process with one worker, then two. The peak is the kernel's figure for that process (`ru_maxrss`),
redaction included.

    python benchmarks/export/memory.py [--quick] [--json FILE]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import throughput

CALLS = 4
SPANS = 1_000_000
QUICK_SPANS = 60_000
SPANS_PER_RUN = (
    16  # a run, and of each call a node and a model call, of each but the last a node and a tool
)

BUILD = """
import json, resource, sys, time
from pathlib import Path
from burnish.workspace import Workspace
from burnish_exporters import BuildOptions, build_dataset

began, cpu = time.perf_counter(), time.process_time()
version = build_dataset(
    Workspace(Path(sys.argv[1])), agent="throughput", verify=["outcome"],
    options=BuildOptions(home=Path(sys.argv[2]), key=b"key", workers=int(sys.argv[3]), from_=None),
)
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({
    "id": version.id, "rows": version.manifest.rows["train"], "peak_mb": kilobytes / 1024,
    "worker_peak_mb": children / 1024, "seconds": time.perf_counter() - began,
}))
"""


def build(home: Path, versions: Path, workers: int) -> dict[str, Any]:
    """Build in another process, and return the figures that it prints."""
    command = [sys.executable, "-c", BUILD, str(home), str(versions), str(workers)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def measure(spans: int) -> dict[str, float]:
    """Return the figures of one size."""
    runs = spans // SPANS_PER_RUN
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        began = time.perf_counter()
        throughput.write_runs(home / "workspace", runs, CALLS)
        print(f"{runs * SPANS_PER_RUN:,} spans written in {time.perf_counter() - began:.0f} s")
        one = build(home / "workspace", home / "one", 1)
        two = build(home / "workspace", home / "two", 2)
    if one["rows"] != runs or one["id"] != two["id"]:
        raise SystemExit(f"{one} and {two} of {runs} runs: the benchmark is wrong")
    return {
        "spans": runs * SPANS_PER_RUN,
        "peak_mb": one["peak_mb"],
        "seconds": one["seconds"],
        "peak_mb_two_workers": two["peak_mb"],
        "worker_peak_mb": two["worker_peak_mb"],
        "seconds_two_workers": two["seconds"],
    }


def main() -> None:
    """Measure and print."""
    chosen = throughput.options(__doc__).parse_args()
    figures = measure(QUICK_SPANS if chosen.quick else SPANS)
    throughput.tell({name: round(value, 1) for name, value in figures.items()}, chosen.json)


if __name__ == "__main__":
    main()
