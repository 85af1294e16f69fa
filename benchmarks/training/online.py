"""Train the support desk online on the bundled model, and measure pass@1 and pass@k on held-out tasks before and after.

usage: python benchmarks/training/online.py [--quick] [--credit NAME] [--steps N] [--json FILE]

The agent is the one of the demo: `create_agent` over the tools of a desk, verified by the database that it leaves. Every
step makes 32 attempts, 8 at each of 4 training tasks.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from burnish import settings
from burnish_trainer import credit
from burnish_trainer.evaluation.agent_project import load_agent
from burnish_trainer.online import OnlineOptions, tool_success, train_online
from burnish_trainer.starter.paths import project_path

RATE, K = 1e-3, 4


def main() -> int:
    """Train, print, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--credit", default="grpo", choices=["grpo", "rloo", "turn_level", "gigpo"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        shutil.copytree(project_path(), project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        settings.configure(home=Path(folder) / "home", config=project / "burnish.toml")
        subject = load_agent("support")
        report = train_online(
            subject,
            tasks=subject.tasks("train", 240),
            credit=getattr(credit, args.credit),
            options=OnlineOptions(steps=8 if args.quick else args.steps, k=0 if args.quick else K),
            recipe={"learning_rate": RATE, "name": "support", "warmup_steps": 2},
            step_reward=tool_success if args.credit == "turn_level" else None,
        )
    figures: dict[str, float | None] = {
        "first_rewards": _mean(report.rewards[:5]),
        "last_rewards": _mean(report.rewards[-5:]),
        "narrowing": float(report.alarm is not None),
    }
    for name, rates in (("before", report.before), ("after", report.after)):
        if rates is not None:
            figures[f"pass_at_1_{name}"] = round(rates.pass_at_1, 4)
            figures[f"pass_at_{K}_{name}"] = round(rates.pass_at_k, 4)
    conditions = {
        "credit": args.credit,
        "learning_rate": RATE,
        "rewards": report.rewards,
        "counts": report.counts,
        "seconds": round(time.monotonic() - started, 1),
        "python": sys.version.split()[0],
    }
    print(json.dumps(figures, indent=1), json.dumps(conditions))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"figures": figures, "conditions": conditions}, indent=2))
    return 0


def _mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return round(sum(known) / max(len(known), 1), 4)


if __name__ == "__main__":
    sys.exit(main())
