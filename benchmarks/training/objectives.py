"""Train the bundled model with each objective on the same runs, and compare all of them on held-out tasks.

usage: python benchmarks/training/objectives.py [--quick] [--seeds 0 1] [--arms NAME ...] [--home DIR] [--json FILE]

The agent is the support desk. For each seed it makes 4 attempts at each of 48 training tasks at temperature 1; every
offline objective learns from these runs, and GRPO makes its own attempts at the same tasks. The learning rate of an arm is
the one of two that solves most of 60 training tasks which no arm saw. Then 180 held-out tasks are attempted, greedy. An
interrupted call with the same --home continues: each finished step has a receipt.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish import settings
from burnish.errors import TrainingError
from burnish_exporters import DatasetVersion, build_dataset
from burnish_trainer import evaluate, train
from burnish_trainer.evaluation import RunOptions, collect
from burnish_trainer.evaluation.agent_project import AgentProject, load_agent
from burnish_trainer.online import OnlineOptions, train_online
from burnish_trainer.run.storage import write_json
from burnish_trainer.starter.paths import project_path

TASKS, ATTEMPTS, TUNING, STEPS = 48, 4, 60, 40
OFFLINE: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "sft": ({"objective": "sft", "epochs": 4}, (1e-3, 2e-3)),
    "dft": ({"objective": "dft", "epochs": 4}, (1e-3, 2e-3)),
    "rejection": ({"objective": "rejection", "epochs": 4}, (1e-3, 2e-3)),
    "dpo_at_the_fork": ({"objective": "dpo", "pairs": "step", "epochs": 4}, (3e-4, 1e-3)),
    "dpo_of_runs": ({"objective": "dpo", "pairs": "run", "epochs": 4}, (3e-4, 1e-3)),
    "kto": ({"objective": "kto", "epochs": 4}, (3e-4, 1e-3)),
    "orpo": ({"objective": "orpo", "epochs": 4}, (1e-3, 2e-3)),
    "policy_gradient": ({"objective": "policy_gradient", "epochs": 4}, (3e-4, 1e-3)),
}
ONLINE = {"grpo": (1e-3, 2e-3)}
ARMS = (*OFFLINE, *ONLINE)


def once(path: Path, work: Callable[[], Any]) -> Any:
    """Return the receipt of finished work, or do the work and write it."""
    if path.exists():
        return json.loads(path.read_text())
    found = work()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


class SeedComparison:
    """All arms of one seed, in a folder of its own.

    Args:
        folder: The folder.
        seed: Seed of the attempts and the trainings.
        quick: Few tasks and steps.
    """

    def __init__(self, folder: Path, seed: int, quick: bool) -> None:
        self.folder, self.seed = folder, seed
        self.sizes = (12, 2, 8, 2, 12) if quick else (TASKS, ATTEMPTS, TUNING, STEPS, 180)
        if not (folder / "project").exists():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(project_path(), folder / "project", ignore=ignored)
        settings.configure(home=folder / "workspace", config=folder / "project" / "burnish.toml")
        self.subject: AgentProject = load_agent("support")
        tasks, _, tuning, _, heldout = self.sizes
        drawn = self.subject.tasks("train", tasks + tuning, seed)
        self.tasks, self.tuning = drawn[:tasks], drawn[tasks:]
        self.heldout = self.subject.tasks("heldout")[:heldout]

    def collect_runs(self) -> dict[str, Any]:
        """Make the runs that all offline arms learn from, and build their dataset."""
        shutil.rmtree(self.folder / "workspace", ignore_errors=True)
        options = RunOptions(
            source="rollout", attempts=self.sizes[1], temperature=1.0, seed=self.seed
        )
        made = collect(self.subject, self.tasks, options=options)
        version = build_dataset(
            self.subject.workspace,
            agent="support",
            verify=self.subject.verifiers,
            recipe={"contrast": True, "max_per_task": self.sizes[1]},
        )
        return {
            "runs": len(made.results),
            "success": made.success_rate,
            "dataset": str(version.path),
            "rows": version.manifest.rows,
        }

    def try_arm(self, arm: str, rate: float) -> dict[str, Any]:
        """Train one arm at one rate; a training that fails, or changes nothing, comes last."""
        try:
            return self.train_arm(arm, rate)
        except TrainingError as error:
            return {"rate": rate, "tuning": -1.0, "error": error.found}

    def train_arm(self, arm: str, rate: float) -> dict[str, Any]:
        """Train one arm at one rate, and measure it on tasks for tuning."""
        started, attempts = time.process_time(), 0
        common = {"name": arm.replace("_", "-"), "learning_rate": rate, "seed": self.seed}
        if arm in OFFLINE:
            dataset = DatasetVersion.open(Path(self.runs["dataset"]))
            recipe = {**common, **OFFLINE[arm][0], "batch_size": 16}
            version = train(dataset, base_model="starter", recipe=recipe)
        else:
            options = OnlineOptions(steps=self.sizes[3], k=0)
            report = train_online(self.subject, tasks=self.tasks, options=options, recipe=common)
            version, attempts = report.adapter, report.counts["attempts"]
        return {
            "adapter": version.id,
            "rate": rate,
            "attempts": attempts,
            "cpu_seconds": round(time.process_time() - started, 1),
            "tuning": self.measure([None, version.id], self.tuning)["after"],
        }

    def measure(self, adapters: list[str | None], tasks: list[Any]) -> dict[str, Any]:
        """Return success before and after, and the gain with its paired interval."""
        found = evaluate(self.subject, adapters=adapters, tasks=tasks, options=RunOptions())
        pool = found.pools["heldout"]
        return {
            "before": pool.before.rate,
            "after": pool.after.rate,
            "interval": [pool.after.low, pool.after.high],
            "gain": pool.gain,
            "gain_interval": list(pool.ci95),
            "by_kind": {kind: sides["after"].rate for kind, sides in pool.by_kind.items()},
        }

    def run(self, arms: list[str]) -> dict[str, Any]:
        """Train and measure the arms; the imitation of successes is what the others are compared with."""
        receipts = self.folder / "receipts"
        self.runs = once(receipts / "runs.json", self.collect_runs)
        found: dict[str, Any] = {"runs": self.runs}
        for arm in arms:
            rates = OFFLINE[arm][1] if arm in OFFLINE else ONLINE[arm]
            tried = [
                once(
                    receipts / f"{arm}-{rate}.json",
                    lambda rate=rate, arm=arm: self.try_arm(arm, rate),
                )
                for rate in rates
            ]
            best = max(tried, key=lambda one: one["tuning"])
            result = once(
                receipts / f"{arm}.json",
                lambda best=best: self.measure([None, best["adapter"]], self.heldout),
            )
            found[arm] = {**result, "rates": tried, "rate": best["rate"]}
            found[arm]["cpu_seconds"], found[arm]["attempts"] = (
                best["cpu_seconds"],
                best["attempts"],
            )
            if arm != "sft" and "sft" in found:
                sides = [found["sft"]["adapter"], best["adapter"]]
                against = once(
                    receipts / f"{arm}-against-sft.json",
                    lambda sides=sides: self.measure(sides, self.heldout),
                )
                found[arm]["against_sft"] = [against["gain"], *against["gain_interval"]]
            found[arm]["adapter"] = best["adapter"]
            print(self.seed, arm, json.dumps(found[arm]), flush=True)
        return found


def describe_figures(seeds: list[dict[str, Any]], arms: list[str]) -> dict[str, float]:
    """Return means over the seeds."""
    first = arms[0]
    found = {"base": statistics.mean(one[first]["before"] for one in seeds)}
    for arm in arms:
        found[arm] = statistics.mean(one[arm]["after"] for one in seeds)
        found[f"{arm}_gain_low_min"] = min(one[arm]["gain_interval"][0] for one in seeds)
    return {name: round(value, 4) for name, value in found.items()}


def main() -> int:
    """Run all seeds, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few tasks and steps")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--home", type=Path, help="folder to continue in; by default a new one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    os.environ["BURNISH_QUIET"] = "1"
    with tempfile.TemporaryDirectory() as temporary:
        home = (args.home or Path(temporary)).absolute()
        seeds = args.seeds[:1] if args.quick else args.seeds
        found = [
            SeedComparison(home / f"seed-{seed}", seed, args.quick).run(args.arms) for seed in seeds
        ]
    figures = describe_figures(found, args.arms)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        conditions = {"seeds": seeds, "by_seed": found, "python": sys.version.split()[0]}
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
