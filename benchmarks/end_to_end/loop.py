"""Run the whole loop on the bundled model over seeds: gain of one round, of three, and of training on claims.

usage: python benchmarks/end_to_end/loop.py [--quick] [--seeds 0 1 2] [--json FILE]

Figures, shares from 0 to 1, smallest and largest over the seeds where the name says so: base,
round1, gain_min, gain_ci_low_min (lower end of the 95 % interval), round3_min (the third
candidate), served3_min (the version that answers after three rounds), seconds_round1_max (the whole
demo of one round), claim_after_max and claim_gain_max (the same loop where the agent's own claim
decides).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

from burnish_trainer.demo import DemoOptions, run_demo


def demos(home: Path, seed: int, quick: bool) -> dict[str, Any]:
    """Run the demos of one seed: one round, three rounds, one round by claim."""
    runs = 96 if quick else 384
    common: dict[str, Any] = {"seed": seed, "runs": runs, "quiet": True}
    one = run_demo(DemoOptions(home=home / f"one-{seed}", sabotage=not quick, **common))
    if quick:
        return {"one": one, "three": None, "claim": None}
    three = run_demo(DemoOptions(home=home / f"three-{seed}", rounds=3, sabotage=False, **common))
    claim = run_demo(
        DemoOptions(home=home / f"claim-{seed}", verify="claim", sabotage=False, **common)
    )
    return {"one": one, "three": three, "claim": claim}


def figures(played: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures over all seeds."""
    first = [one["one"]["rounds"][0]["heldout"] for one in played]
    found = {
        "base": statistics.mean(pool["before"] for pool in first),
        "round1": statistics.mean(pool["after"] for pool in first),
        "gain_min": min(pool["gain"] for pool in first),
        "gain_ci_low_min": min(pool["ci95"][0] for pool in first),
        "seconds_round1_max": max(one["one"]["seconds_total"] for one in played),
    }
    if played[0]["three"]:
        found["round3_min"] = min(one["three"]["rounds"][-1]["heldout"]["after"] for one in played)
        found["served3_min"] = min(one["three"]["served"]["heldout"] for one in played)
        claims = [one["claim"]["rounds"][-1]["heldout"] for one in played]
        found["claim_after_max"] = max(pool["after"] for pool in claims)
        found["claim_gain_max"] = max(pool["gain"] for pool in claims)
    return {name: round(value, 4) for name, value in found.items()}


def by_seed(played: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the results of each seed, for the record."""
    rows = []
    for one in played:
        row: dict[str, Any] = {"one": one["one"]["rounds"][0]["heldout"]}
        row["seconds"] = one["one"]["seconds_total"]
        row["canary"] = (one["one"]["canary"] or {}).get("canary_threads")
        row["rollback"] = (one["one"]["rollback"] or {}).get("canary_threads")
        for name in ("three", "claim"):
            if one[name]:
                row[name] = [each["heldout"]["after"] for each in one[name]["rounds"]]
        rows.append(row)
    return rows


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, one short round")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seeds = args.seeds[:1] if args.quick else args.seeds
    with tempfile.TemporaryDirectory() as home:
        played = []
        for seed in seeds:
            played.append(demos(Path(home), seed, args.quick))
            print(json.dumps(by_seed(played[-1:])), flush=True)
    found = {
        "figures": figures(played),
        "conditions": {
            "seeds": seeds,
            "runs": 96 if args.quick else 384,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "versions": played[0]["one"]["versions"],
            "by_seed": by_seed(played),
        },
    }
    print(json.dumps(found["figures"], indent=1))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
