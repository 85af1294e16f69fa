"""Play one round: users ask, one retrain, a canary that decides."""

from __future__ import annotations

import time
from typing import Any

import msgspec

import burnish
from burnish_exporters import DatasetVersion
from burnish_trainer import console
from burnish_trainer.demo.scene import AGENT, NO_ROLLOUTS, Scene
from burnish_trainer.demo.traffic import canary_until_decided, run_users

CLAIM = [{"goal_state": {"predicate": "checks:claims_success", "name": "claim"}}]


def play_round(scene: Scene, number: int) -> dict[str, Any]:
    """Play one round, or return its earlier result.

    Args:
        scene: The demo.
        number: The round, from 1.
    """
    console.say(f"\n[bold cyan]round {number}[/]")
    do, started = scene.stages.do, time.monotonic()
    asked = do(f"users-{number}", scene.stage_inputs(number), lambda: run_users(scene, number))
    report = do(
        f"retrain-{number}", scene.stage_inputs(number, asked), lambda: _retrain_agent(scene)
    )
    canary = None
    if report["status"] == "canary":
        console.say("  [dim]canary with demo settings: {}[/]", _format_settings(scene))
        canary = do(
            f"canary-{number}",
            scene.stage_inputs(number, report["adapter"]),
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


def _retrain_agent(scene: Scene) -> dict[str, Any]:
    settings: dict[str, Any] = {"train": {"seed": scene.options.seed}, "evaluate": NO_ROLLOUTS}
    if scene.options.verify == "claim":
        # The agent's own claim selects the training runs; goal states still verify the result.
        settings["verify"], settings["prove"] = CLAIM, scene.subject.config.verify
    report = burnish.retrain(AGENT, again=True, **settings)
    found = msgspec.to_builtins(report)
    found["funnel"] = _read_funnel(scene, str(report.dataset))
    return found


def _read_funnel(scene: Scene, dataset: str) -> list[dict[str, Any]]:
    return DatasetVersion.open(scene.workspace / "datasets" / dataset).manifest.funnel


def _format_settings(scene: Scene) -> str:
    table = scene.subject.config.canary
    steps = " -> ".join(f"{100 * step:g}" for step in table.steps)
    return (
        f"steps {steps} %, at least {table.min_threads} canary threads; a real service takes more"
    )
