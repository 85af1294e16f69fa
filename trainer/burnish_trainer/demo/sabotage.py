"""Train a bad adapter on the agent's failed runs and force it past the gate; the canary must roll it back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

import burnish
from burnish import settings
from burnish.records import Decision, Evaluation
from burnish_exporters import DatasetVersion, build_dataset
from burnish_trainer import console
from burnish_trainer.demo.scene import AGENT, Scene
from burnish_trainer.demo.traffic import canary_until_decided
from burnish_trainer.evaluation.history.store import save_evaluation
from burnish_trainer.evaluation.runner import evaluate
from burnish_trainer.heldout_uses import decide_and_record
from burnish_trainer.recipes.train_recipe import recipe_of_agent
from burnish_trainer.release import current_adapter, register_adapter, start_canary
from burnish_trainer.run.storage import write_json
from burnish_trainer.run.training import train

_PLACE = 99


class FailedRuns:
    """The failed runs of a dataset version, offered as training rows."""

    def __init__(self, version: DatasetVersion) -> None:
        self._version = version
        self.id = f"{version.id}+failures"

    def rows(self, split: str = "train") -> Iterable[dict[str, Any]]:
        """Return the failed runs of a split."""
        return self._version.rows(f"{split}-contrast")


def release_bad_adapter(scene: Scene) -> dict[str, Any]:
    """Train a bad adapter, measure it, force it past the gate, and watch its rollback.

    Args:
        scene: The demo.
    """
    console.say("\n[bold cyan]a bad adapter[/], trained on failed runs and forced past the gate")
    current, do = current_adapter(scene.subject), scene.stages.do
    made = do("bad-train", scene.stage_inputs(), lambda: _train_bad_adapter(scene))
    facts = do(
        "bad-evaluate",
        scene.stage_inputs(made),
        lambda: _measure_adapter(scene, current, made["id"]),
    )
    started = do(
        "bad-release", scene.stage_inputs(facts), lambda: force_release(scene, made["id"], facts)
    )
    ended = do(
        "bad-canary", scene.stage_inputs(started), lambda: canary_until_decided(scene, _PLACE)
    )
    console.say("  [bold]{}[/]: {}", ended["decision"], ended["reason"])
    return {"adapter": made["id"], "evaluation": facts, "release": started, "canary": ended}


def _train_bad_adapter(scene: Scene) -> dict[str, Any]:
    table = msgspec.structs.asdict(scene.subject.config.dataset)
    version = build_dataset(
        burnish.Workspace(),
        agent=AGENT,
        verify=scene.subject.verifiers,
        recipe={**table, "contrast": True},
        name=f"{AGENT}-bad",
    )
    settings = recipe_of_agent(scene.subject.config.train)
    adapter = train(
        FailedRuns(version),
        base_model=scene.subject.config.base_model,
        recipe={**settings, "name": f"{AGENT}-bad", "seed": scene.options.seed},
    )
    return {"id": adapter.id, "rows": adapter.rows["rows"]}


def _measure_adapter(scene: Scene, current: str | None, bad: str) -> dict[str, Any]:
    found = evaluate(scene.subject, adapters=[current, bad])
    heldout = found.pools["heldout"]
    console.say(f"  held-out: {heldout.before.rate:.1%} -> {heldout.after.rate:.1%}")
    return msgspec.to_builtins(found)


def force_release(scene: Scene, bad: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Force a bad adapter past the gate and start its canary.

    Args:
        scene: The demo.
        bad: The adapter version.
        facts: Its evaluation, as plain data.
    """
    path = Path(scene.folder / "bad-evaluation.json")
    write_json(path, facts)
    evaluation, rules = msgspec.convert(facts, Evaluation), scene.subject.config.gate
    decision: Decision = decide_and_record(settings.current().home, evaluation, rules)
    save_evaluation(settings.current().home, evaluation, decision)
    console.say(
        "  gate: [bold]{}[/]: {}; forced anyway",
        decision.decision,
        "; ".join(decision.reasons),
    )
    register_adapter(scene.subject, bad, path, decision, forced=True)
    status = start_canary(scene.subject, bad)
    return {"gate": msgspec.to_builtins(decision), "swap_ms": status["swap_ms"], "forced": True}
