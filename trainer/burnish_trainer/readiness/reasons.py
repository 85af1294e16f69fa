"""Tell which of the reasons to train hold, from the recorded runs.

The reasons: the tools are of the agent's own domain, their calls must have one form, a limit of latency asks for a
smaller model, and production gives good runs to learn from.
"""

from __future__ import annotations

from burnish.project import AgentConfig
from burnish_trainer.readiness.records import TrainingReason
from burnish_trainer.readiness.run_facts import RunFacts, percentile
from burnish_trainer.readiness.run_findings import FEWEST_SUCCESSES

_FEWEST_CALLS = 30  # that can show how often their form breaks
_BROKEN = 0.01
_COMMON_TOOLS = frozenset(
    {
        "search", "web_search", "search_web", "tavily_search", "duckduckgo_search", "wikipedia", "python", "python_repl",
        "run_python", "calculator", "bash", "shell", "read_file", "write_file", "list_files", "fetch", "http_request",
        "browser", "final_answer",
    }
)  # fmt: skip


def list_reasons(config: AgentConfig, facts: RunFacts) -> list[TrainingReason]:
    """Return each reason with what the data says.

    Args:
        config: The agent's table.
        facts: What the runs say.
    """
    return [
        _own_tools(facts),
        _call_form(facts),
        _latency_budget(config, facts),
        _production_data(facts),
    ]


def _own_tools(facts: RunFacts) -> TrainingReason:
    own = sorted(name for name in facts.tool_names if name.lower() not in _COMMON_TOOLS)
    told = f"{len(own)} of {len(facts.tool_names)} tools are of this domain"
    if own:
        told += f": {', '.join(own[:5])}" + (", ..." if len(own) > 5 else "")
    return TrainingReason(
        reason="tools are of this domain",
        holds=bool(own) if facts.tool_names else None,
        evidence=told if facts.tool_names else "no run offers a tool",
    )


def _call_form(facts: RunFacts) -> TrainingReason:
    broken = facts.broken_calls.total()
    told = f"{broken} of {facts.calls} tool calls do not fit their schema"
    if broken:
        kinds = ", ".join(f"{kind} {count}" for kind, count in facts.broken_calls.most_common(3))
        told += f" ({kinds})"
    enough = facts.calls >= _FEWEST_CALLS
    return TrainingReason(
        reason="calls must keep one form",
        holds=broken >= _BROKEN * facts.calls if enough else None,
        evidence=told + ("" if enough else f"; {_FEWEST_CALLS} calls would tell"),
    )


def _latency_budget(config: AgentConfig, facts: RunFacts) -> TrainingReason:
    limit, slow = config.canary.guards.max_latency_s, percentile(facts.latencies, 0.95)
    reason = "the latency budget asks for a smaller model"
    took = "no production run" if slow is None else f"p95 of production runs {slow:.2f} s"
    models = ", ".join(name for name, _ in facts.models.most_common(2))
    told = took + (f", by {models}" if models else "")
    if limit is None:
        told += f"; no limit is set (max_latency_s in [agent.{config.name}.canary.guards])"
        return TrainingReason(reason=reason, holds=None, evidence=told)
    holds = None if slow is None else slow > limit
    return TrainingReason(reason=reason, holds=holds, evidence=f"{told}, limit {limit:g} s")


def _production_data(facts: RunFacts) -> TrainingReason:
    count = facts.successes["production"]
    return TrainingReason(
        reason="production gives good runs",
        holds=count >= FEWEST_SUCCESSES,
        evidence=f"{count} verified successes of production, {FEWEST_SUCCESSES} are enough",
    )
