"""Collect the result of a demo as data, in the form that `burnish demo --json` promises.

Shares are from 0 to 1, times in seconds or milliseconds.
"""

from __future__ import annotations

import platform
from collections import Counter
from typing import Any

import burnish
from burnish_trainer.demo.scene import Scene
from burnish_trainer.run.plan import package_versions

Json = dict[str, Any]


def assemble_facts(scene: Scene, rounds: list[Json], bad: Json | None, overhead: Json) -> Json:
    """Return all facts but the total time.

    Args:
        scene: The demo.
        rounds: Result of each round.
        bad: Result of the bad adapter.
        overhead: Cost of recording.
    """
    canaries = [one["canary"] for one in rounds if one["canary"]]
    swaps = [r["report"]["canary"]["swap_ms"] for r in rounds if r["report"].get("canary")]
    swaps += [bad["release"]["swap_ms"]] if bad else []
    first = rounds[0]["report"]["evaluation"]["pools"]
    return {
        "base": {
            "model": scene.subject.config.base_model,
            **{pool: facts["before"] for pool, facts in first.items()},
            "sampled": rounds[0]["users"]["success_rate"],
        },
        "rounds": [_round_facts(one) for one in rounds],
        "canary": _canary_facts(canaries[-1] if canaries else None),
        "rollback": _rollback_facts(bad),
        "served": _served_facts(rounds),
        "swap_ms": round(max(swaps), 3) if swaps else None,
        "overhead": overhead,
        "trajectories": len(burnish.Workspace(scene.workspace).entries()),
        "versions": {**package_versions(), "python": platform.python_version()},
        "options": {
            "rounds": scene.options.rounds,
            "seed": scene.options.seed,
            "verify": scene.options.verify,
        },
        "folder": str(scene.folder),
    }


def _served_facts(rounds: list[Json]) -> Json:
    """Return the adapter that answers at the end, and its rate on held-out tasks."""
    for one in reversed(rounds):
        if one["canary"] and one["canary"]["decision"] == "promoted":
            report = one["report"]
            rate = report["evaluation"]["pools"]["heldout"]["after"]["rate"]
            return {"adapter": report["adapter"], "round": one["number"], "heldout": rate}
    rate = rounds[0]["report"]["evaluation"]["pools"]["heldout"]["before"]["rate"]
    return {"adapter": None, "round": None, "heldout": rate}


def _round_facts(one: Json) -> Json:
    report = one["report"]
    pools = report["evaluation"]["pools"]
    return {
        "heldout": _pool_facts(pools["heldout"]),
        "by_kind": {
            kind: {
                "before": arms["before"]["rate"],
                "after": arms["after"]["rate"],
                "before_ci95": _interval_ends(arms["before"]),
                "after_ci95": _interval_ends(arms["after"]),
            }
            for kind, arms in pools["heldout"]["by_kind"].items()
        },
        "standing": _pool_facts(pools["standing"]),
        "capability": _pool_facts(pools["capability"]),
        "gate": {k: report["decision"][k] for k in ("decision", "reasons")},
        "rows": _count_rows(report["funnel"]),
        "dropped": _count_dropped(report["funnel"]),
        "funnel": report["funnel"],
        "adapter": report["adapter"],
        "dataset": report["dataset"],
        "canary": _canary_facts(one["canary"]),
        "seconds": one["seconds"],
        "stages": {stage["name"]: stage["seconds"] for stage in report["stages"]},
    }


def _pool_facts(facts: Json) -> Json:
    return {
        "before": facts["before"]["rate"],
        "after": facts["after"]["rate"],
        "gain": facts["gain"],
        "ci95": list(facts["ci95"]),
        "tasks": facts["before"]["total"],
        "won": facts["won"],
        "lost": facts["lost"],
        "p_value": facts["p_value"],
        "before_ci95": _interval_ends(facts["before"]),
        "after_ci95": _interval_ends(facts["after"]),
    }


def _interval_ends(rate: Json) -> list[float]:
    return [rate["low"], rate["high"]]


def _count_rows(funnel: list[Json]) -> int:
    return int(funnel[-1]["kept"]) if funnel else 0


def _count_dropped(funnel: list[Json]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for stage in funnel:
        counts.update(stage.get("dropped") or {})
    return dict(sorted(counts.items()))


def _canary_facts(facts: Json | None) -> Json | None:
    if facts is None:
        return None
    kept = (
        "decision",
        "adapter",
        "reason",
        "threads",
        "canary_threads",
        "dropped",
        "mixed",
        "seconds",
    )
    return {**{key: facts[key] for key in kept}, "trail": facts["trail"], "events": facts["events"]}


def _rollback_facts(bad: Json | None) -> Json | None:
    if bad is None:
        return None
    heldout = bad["evaluation"]["pools"]["heldout"]
    return {
        "injected": bad["adapter"],
        "forced": bad["release"]["forced"],
        "gate": bad["release"]["gate"],
        "heldout": _pool_facts(heldout),
        **(_canary_facts(bad["canary"]) or {}),
    }
