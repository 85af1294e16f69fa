"""Check the guards of a rollout: errors, tokens and latency of a thread's runs."""

from __future__ import annotations

from burnish.project import GuardsConfig
from burnish.records import Trajectory


def list_guards(guards: GuardsConfig) -> tuple[str, ...]:
    """List the enabled guards."""
    on = {
        "errors": guards.errors,
        "tokens": guards.max_tokens is not None,
        "latency": guards.max_latency_s is not None,
    }
    return tuple(name for name, wanted in on.items() if wanted)


def find_breaches(runs: list[Trajectory], guards: GuardsConfig) -> dict[str, bool]:
    """Check a thread against each enabled guard; True means breached."""
    found: dict[str, bool] = {}
    if guards.errors:
        found["errors"] = any(run.status == "failed" for run in runs)
    if guards.max_tokens is not None:
        found["tokens"] = sum(map(_count_tokens, runs)) > guards.max_tokens
    if guards.max_latency_s is not None:
        found["latency"] = any(_measure_seconds(run) > guards.max_latency_s for run in runs)
    return found


def _count_tokens(run: Trajectory) -> int:
    return sum(
        (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
        for call in run.model_calls
        if call.usage is not None
    )


def _measure_seconds(run: Trajectory) -> float:
    return (run.ended_ns - run.started_ns) / 1e9 if run.ended_ns is not None else 0.0
