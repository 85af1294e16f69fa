"""Register an evaluated adapter, load it, and start its canary."""

from __future__ import annotations

from typing import Any

from burnish_trainer import console
from burnish_trainer.rounds.context import Json, RetrainRound
from burnish_trainer.rounds.planning import Stop
from burnish_trainer.rounds.proving import read_decision


def is_forced(one: RetrainRound) -> bool:
    """Report if the adapter may serve against the gate's decision."""
    return one.options.force and read_decision(one).decision != "promote"


def registration_inputs(one: RetrainRound) -> Json:
    """Return what decides the entry in the registry."""
    prompt = [one.after.prompt] if one.after.prompt else []
    return [one.adapter, read_decision(one).decision, is_forced(one), *prompt]


def register_version(one: RetrainRound) -> dict[str, Any]:
    """Register the version with its report and decision; one that was not promoted may not serve."""
    from burnish_trainer.release import register_adapter  # the canary is heavy

    return register_adapter(
        one.subject,
        one.adapter,
        one.evaluation_path,
        read_decision(one),
        prompt=one.after.prompt,
        forced=is_forced(one),
        overridden=[*one.outputs["readiness"]["overridden"], *one.outputs["plan"]["forced"]],
    )


def stop_before_loading(one: RetrainRound) -> Stop | None:
    """Return why no canary follows the registration; None if one does."""
    decision = read_decision(one)
    if decision.decision != "promote" and not one.options.force:
        status = "inconclusive" if decision.decision == "inconclusive" else "rejected"
        return status, ""
    missing = None if one.options.releases else "the canary is turned off"
    if not one.subject.config.canary.decides:
        missing = (
            f"no source decides the canary: write `decides` into "
            f"[agent.{one.subject.name}.canary] of {one.subject.project.path}"
        )
    if missing is None:
        return None
    console.say("  [yellow]stopped before the canary[/]: {}", missing)
    return "stopped", missing


def loading_inputs(one: RetrainRound) -> Json:
    """Return the version and its backend."""
    config = one.subject.config
    return [one.adapter, config.backend, config.base_model, one.outputs["register"]]


def load_adapter_version(one: RetrainRound) -> dict[str, Any]:
    """Load the version beside those in service, and check that it answers."""
    from burnish_trainer.release import load_version  # the canary is heavy

    milliseconds = load_version(one.subject, one.adapter)
    return {"adapter": one.adapter, "milliseconds": milliseconds}


def canary_inputs(one: RetrainRound) -> Json:
    """Return the registered version, and the round."""
    return [one.outputs["register"], one.stages.run_id]


def begin_canary(one: RetrainRound) -> dict[str, Any]:
    """Route the first threads to the version."""
    from burnish_trainer.release import start_canary  # the canary is heavy

    status = start_canary(one.subject, one.adapter, prompt=one.after.prompt)
    loading = one.outputs["load"]["milliseconds"]
    status["swap_ms"] = round(status["swap_ms"] + loading, 3) if status["swap_ms"] else 0.0
    console.say(f"  {status['state']} at {100 * status['share']:.0f} % of threads")
    for doubt in status.get("doubts", []):
        console.say(
            "  [bold red]the verifier that decides this canary may be below its precision floor[/]: {}",
            doubt,
        )
    return status
