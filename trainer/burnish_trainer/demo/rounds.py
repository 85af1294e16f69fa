"""One round: users ask, one retrain, a canary that decides.

Knows: what a round is made of. Does not know: how a stage works.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

import burnish
from burnish_exporters import DatasetVersion
from burnish_trainer import console
from burnish_trainer.demo.scene import AGENT, NO_ROLLOUTS, Scene
from burnish_trainer.demo.traffic import canary_until_decided, users

CLAIM = [{"goal_state": {"predicate": "checks:claims_success", "name": "claim"}}]


def play_round(scene: Scene, number: int) -> dict[str, Any]:
    """Play one round, or give back what it gave before.

    Args:
        scene: The demo.
        number: The round, from 1.
    """
    console.say(f"\n[bold cyan]round {number}[/]")
    do, started = scene.stages.do, time.monotonic()
    asked = do(f"users-{number}", scene.inputs(number), lambda: users(scene, number))
    report = do(f"retrain-{number}", scene.inputs(number, asked), lambda: _retrain(scene))
    canary = None
    if report["status"] == "canary":
        console.say("  [dim]canary with demo settings: {}[/]", _settings(scene))
        canary = do(
            f"canary-{number}",
            scene.inputs(number, report["adapter"]),
            lambda: canary_until_decided(scene, number),
        )
        console.say("  [bold]{}[/]: {}", canary["decision"], canary["reason"])
    seconds = round(time.monotonic() - started, 3)
    return {
        "number": number,
        "users": asked,
        "report": report,
        "canary": canary,
        "seconds": seconds,
    }


def _retrain(scene: Scene) -> dict[str, Any]:
    settings: dict[str, Any] = {"train": {"seed": scene.options.seed}, "evaluate": NO_ROLLOUTS}
    if scene.options.verify == "claim":
        # What the agent says of itself decides what is learned; facts still judge the result.
        settings["learn_from"] = CLAIM
    report = burnish.retrain(AGENT, **settings)
    found = msgspec.to_builtins(report)
    found["funnel"] = _funnel(scene, str(report.dataset))
    return found


def _funnel(scene: Scene, dataset: str) -> list[dict[str, Any]]:
    return DatasetVersion.open(scene.workspace / "datasets" / dataset).manifest.funnel


def _settings(scene: Scene) -> str:
    table = scene.subject.config.canary
    steps = " -> ".join(f"{100 * step:g}" for step in table.steps)
    return (
        f"steps {steps} %, at least {table.min_threads} canary threads; a real service takes more"
    )
