"""Measure how busy an evaluation keeps the embedded engine, with 16 attempts at once.

usage: python benchmarks/end_to_end/evaluation.py [--tasks N] [--concurrency N] [--json FILE]

The support desk of the examples is evaluated on held-out tasks. The engine is busy while at least one request waits for
it or runs in it; the clock runs from the first attempt to the last verdict, and a first evaluation of one task has
imported and loaded everything before. `worlds` opens each environment 20 ms later, as a service or a database does.
Figures: busy_share, requests_at_once (mean), attempts_per_s, and the same with `worlds_`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DESK = ROOT / "examples" / "support_desk"


_SLOW_WORLD = """
import time
from desk import Environment

class open_later(Environment):
    def open(self, task):
        time.sleep(0.02)
        super().open(task)
"""


class BusyClock:
    """Measures the time in which at least one request is with the engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self.busy_s = self.request_s = 0.0

    def watch_engine(self, engine: Any) -> None:
        """Count the requests of an engine from now on."""
        submit = engine.submit_request

        def submit_counted(request: Any) -> Any:
            self._count(1)
            future = submit(request)
            future.add_done_callback(lambda _: self._count(-1))
            return future

        engine.submit_request = submit_counted

    def _count(self, change: int) -> None:
        with self._lock:
            now = time.monotonic()
            if self._running:
                self.busy_s += now - self._since
                self.request_s += self._running * (now - self._since)
            self._running, self._since = self._running + change, now


def measure(subject: Any, tasks: list[Any], concurrency: int) -> dict[str, float]:
    """Evaluate the base model on tasks, and return the figures."""
    from burnish.serving.embedded.engine import Engine
    from burnish_trainer import evaluate
    from burnish_trainer.evaluation import RunOptions

    options = RunOptions(concurrency=concurrency)
    evaluate(subject, adapters=[None], tasks=tasks[:1], options=options)
    clock = BusyClock()
    engine = Engine.shared("starter")
    clock.watch_engine(engine)
    started = time.monotonic()
    evaluate(subject, adapters=[None], tasks=tasks[1:], options=options)
    seconds = time.monotonic() - started
    del engine.submit_request  # the method of the class is back
    return {
        "busy_share": round(clock.busy_s / seconds, 3),
        "requests_at_once": round(clock.request_s / seconds, 2),
        "attempts_per_s": round((len(tasks) - 1) / seconds, 2),
    }


def main() -> None:
    """Run both measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=180)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.environ["BURNISH_QUIET"] = "1"
    sys.path.insert(0, str(DESK))
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        import burnish
        from burnish_trainer.evaluation.agent_project import load_agent

        burnish.configure(home=Path(home), config=DESK / "burnish.toml")
        subject = load_agent("support")
        tasks = subject.tasks("heldout", given.tasks + 1)
        figures |= measure(subject, tasks, given.concurrency)
        toml = (
            (DESK / "burnish.toml").read_text().replace("desk:Environment", "slow_world:open_later")
        )
        for path in DESK.glob("*.py"):
            shutil.copy(path, Path(home))
        (Path(home) / "burnish.toml").write_text(toml)
        (Path(home) / "slow_world.py").write_text(_SLOW_WORLD)
        burnish.configure(home=Path(home), config=Path(home) / "burnish.toml")
        slow = measure(load_agent("support"), tasks, given.concurrency)
        figures |= {f"worlds_{name}": value for name, value in slow.items()}
    for name, value in figures.items():
        print(f"{name:26} {value}")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
