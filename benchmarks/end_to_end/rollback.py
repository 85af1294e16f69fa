"""Force a bad adapter past the gate under many seeds of traffic: time to rollback, and correctness of answers.

usage: python benchmarks/end_to_end/rollback.py [--quick] [--seeds 20] [--json FILE]

A demo runs first, then its bad adapter is released again for each seed. Figures:
canary_threads_median and _max until the rollback, rolled_back (share of seeds), dropped (threads
without an answer), calls (model calls that were checked), wrong (calls whose recorded
log-probabilities are not those of the version stamped on them).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.records import ModelCall
from burnish.serving.embedded.engine import Engine
from burnish.workspace import Workspace
from burnish_trainer.demo import DemoOptions, play_demo
from burnish_trainer.demo.sabotage import force_release
from burnish_trainer.demo.scene import Scene, open_scene
from burnish_trainer.demo.traffic import canary_until_decided

PLACES = 200  # after all canaries of the demo itself
TOLERANCE = 1e-3  # of a log-probability; batches round differently


def once(scene: Scene, adapter: str, seed: int) -> dict[str, Any]:
    """Release the bad adapter under one seed of traffic."""
    force_release(scene, adapter, json.loads((scene.folder / "bad-evaluation.json").read_text()))
    ended = canary_until_decided(scene, PLACES + seed)
    return {key: ended[key] for key in ("decision", "canary_threads", "dropped", "seconds")}


def calls(workspace: Workspace, since_ns: int) -> Iterator[ModelCall]:
    """Yield answered model calls of users' threads since a moment."""
    for trajectory in workspace.trajectories(since=since_ns, source="production"):
        yield from (call for call in trajectory.model_calls if call.token_ids and call.logprobs)


def wrong(engine: Engine, recorded: Iterator[ModelCall]) -> tuple[int, int]:
    """Return the number of checked calls, and of those that the stamped version did not answer."""
    looked = found = 0
    for call in recorded:
        prompt, answer = call.prompt_token_ids or [], call.token_ids or []
        truth = engine.score_tokens([*prompt, *answer], len(prompt), call.policy.adapter)
        told = call.logprobs or []
        looked += 1
        found += any(abs(a - b) > TOLERANCE for a, b in zip(truth, told, strict=True))
    return looked, found


def measure(home: Path, seeds: int, runs: int) -> dict[str, Any]:
    """Run a demo, then the seeds."""
    with open_scene(DemoOptions(home=home, runs=runs, quiet=True)) as scene:
        adapter = play_demo(scene)["rollback"]["injected"]
        since = time.time_ns()
        rows = []
        for seed in range(seeds):
            rows.append(once(scene, adapter, seed))
            print(json.dumps(rows[-1]), flush=True)
        engine = Engine.shared(scene.subject.config.base_model)
        looked, found = wrong(engine, calls(Workspace(scene.workspace), since))
    threads = [row["canary_threads"] for row in rows]
    return {
        "rolled_back": sum(row["decision"] == "rolled_back" for row in rows) / len(rows),
        "canary_threads_median": statistics.median(threads),
        "canary_threads_max": max(threads),
        "dropped": sum(row["dropped"] for row in rows),
        "calls": looked,
        "wrong": found,
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seeds")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seeds = 2 if args.quick else args.seeds
    with tempfile.TemporaryDirectory() as home:
        found = {
            "figures": measure(Path(home), seeds, 128 if args.quick else 384),
            "conditions": {"seeds": seeds, "cores": os.cpu_count()},
        }
    print(json.dumps(found["figures"], indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
