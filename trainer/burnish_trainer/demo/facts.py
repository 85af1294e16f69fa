"""The story of a demo as data, in the form that `burnish demo --json` promises.

Knows: the keys. Does not know: how anything was measured. Shares are from 0 to 1, times in seconds or milliseconds.
"""

from __future__ import annotations

import platform
from collections import Counter
from typing import Any

import burnish
from burnish_trainer.demo.scene import Scene
from burnish_trainer.run.plan import versions

Json = dict[str, Any]


def assemble(scene: Scene, rounds: list[Json], bad: Json | None, overhead: Json) -> Json:
    """All facts but the total time.

    Args:
        scene: The demo.
        rounds: What each round gave.
        bad: What became of the bad adapter.
        overhead: What recording costs.
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
        "rounds": [_round(one) for one in rounds],
        "canary": _canary(canaries[-1] if canaries else None),
        "rollback": _rollback(bad),
        "served": _served(rounds),
        "swap_ms": round(max(swaps), 3) if swaps else None,
        "overhead": overhead,
        "trajectories": len(burnish.Workspace(scene.workspace).entries()),
        "versions": {**versions(), "python": platform.python_version()},
        "options": {
            "rounds": scene.options.rounds,
            "seed": scene.options.seed,
            "verify": scene.options.verify,
        },
        "folder": str(scene.folder),
    }


def _served(rounds: list[Json]) -> Json:
    """Who answers at the end, and how well it did on held-out tasks."""
    for one in reversed(rounds):
        if one["canary"] and one["canary"]["decision"] == "promoted":
            report = one["report"]
            rate = report["evaluation"]["pools"]["heldout"]["after"]["rate"]
            return {"adapter": report["adapter"], "round": one["number"], "heldout": rate}
    rate = rounds[0]["report"]["evaluation"]["pools"]["heldout"]["before"]["rate"]
    return {"adapter": None, "round": None, "heldout": rate}


def _round(one: Json) -> Json:
    report = one["report"]
    pools = report["evaluation"]["pools"]
    return {
        "heldout": _pool(pools["heldout"]),
        "by_kind": {
            kind: {
                "before": arms["before"]["rate"],
                "after": arms["after"]["rate"],
                "before_ci95": _ends(arms["before"]),
                "after_ci95": _ends(arms["after"]),
            }
            for kind, arms in pools["heldout"]["by_kind"].items()
        },
        "standing": _pool(pools["standing"]),
        "capability": _pool(pools["capability"]),
        "gate": {k: report["decision"][k] for k in ("decision", "reasons")},
        "rows": _rows(report["funnel"]),
        "dropped": _dropped(report["funnel"]),
        "funnel": report["funnel"],
        "adapter": report["adapter"],
        "dataset": report["dataset"],
        "canary": _canary(one["canary"]),
        "seconds": one["seconds"],
        "stages": {stage["name"]: stage["seconds"] for stage in report["stages"]},
    }


def _pool(facts: Json) -> Json:
    return {
        "before": facts["before"]["rate"],
        "after": facts["after"]["rate"],
        "gain": facts["gain"],
        "ci95": list(facts["ci95"]),
        "tasks": facts["before"]["total"],
        "won": facts["won"],
        "lost": facts["lost"],
        "p_value": facts["p_value"],
        "before_ci95": _ends(facts["before"]),
        "after_ci95": _ends(facts["after"]),
    }


def _ends(rate: Json) -> list[float]:
    return [rate["low"], rate["high"]]


def _rows(funnel: list[Json]) -> int:
    return int(funnel[-1]["kept"]) if funnel else 0


def _dropped(funnel: list[Json]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for stage in funnel:
        counts.update(stage.get("dropped") or {})
    return dict(sorted(counts.items()))


def _canary(facts: Json | None) -> Json | None:
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


def _rollback(bad: Json | None) -> Json | None:
    if bad is None:
        return None
    heldout = bad["evaluation"]["pools"]["heldout"]
    return {
        "injected": bad["adapter"],
        "forced": bad["release"]["forced"],
        "gate": bad["release"]["gate"],
        "heldout": _pool(heldout),
        **(_canary(bad["canary"]) or {}),
    }
