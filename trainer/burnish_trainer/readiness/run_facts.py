"""Collect what the recorded runs of an agent say about its readiness, in one pass over the newest of them.

`collect_run_facts` is the entry. No verifier that runs a program or asks a model is started: verdicts that are recorded
count, and outcomes are read directly.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from burnish.protocols import Verifier, traits_of
from burnish.records import ModelCall, Trajectory, Verdict
from burnish_trainer.evaluation.attempts.arm_version import ArmVersion

if TYPE_CHECKING:
    from burnish.workspace import Workspace

MOST_RUNS = 10_000  # the newest; older ones say little about the agent of today
_MOST_CALLS = 2_000  # tool calls that are held against their schemas
_LEARNED_SOURCES = ("production", "rollout", "demonstration", "teacher")
_MEASURED_POOLS = ("heldout", "standing", "capability")


@dataclass
class VersionHistory:
    """The versions of one prompt, or of one set of tools, in the order of time.

    Attributes:
        runs: Number of runs of each version.
        first_ns: Start of the first run of each version.
    """

    runs: Counter[str] = field(default_factory=Counter[str])
    first_ns: dict[str, int] = field(default_factory=dict[str, int])
    newest: str = ""

    def add(self, version: str, started_ns: int) -> None:
        """Count a run; runs are added oldest first."""
        self.runs[version] += 1
        self.first_ns.setdefault(version, started_ns)
        self.newest = version

    @property
    def changes_ns(self) -> list[int]:
        """Return the moments at which a new version came up, without the first version."""
        return sorted(self.first_ns.values())[1:]


@dataclass
class RunFacts:
    """Facts of the runs.

    Attributes:
        read: Number of runs that were read.
        recorded: Number of runs of the agent.
        successes: Verified successes to learn from, by source.
        failures: Verified failures among the runs to learn from.
        unverified: Ended runs to learn from that have no verdict yet.
        undecided: Runs to learn from that the verifiers cannot decide.
        checked_tasks: Tasks of runs to learn from that a check decided.
        judged_tasks: Tasks that were verified at all.
        prompts: Versions of the system prompt, by node.
        tools: Versions of the tool schemas, by node.
        success_versions: Verified successes by the prompt and tool versions of their first call.
        tool_names: Offered tools.
        calls: Tool calls that were held against their schemas.
        broken_calls: Those that do not fit, by class.
        latencies: Seconds of production runs.
        models: Models that answered in runs to learn from.
        known_results: Judged attempts of evaluations and rollouts, by version: succeeded and total.
        proven: Attempts of evaluations that the verifiers decided.
        baseline: Tasks that the base model attempted in an evaluation, with a verdict, by prompt version.
    """

    read: int = 0
    recorded: int = 0
    successes: Counter[str] = field(default_factory=Counter[str])
    failures: int = 0
    unverified: int = 0
    undecided: int = 0
    checked_tasks: set[str] = field(default_factory=set[str])
    judged_tasks: set[str] = field(default_factory=set[str])
    prompts: dict[str, VersionHistory] = field(default_factory=lambda: defaultdict(VersionHistory))
    tools: dict[str, VersionHistory] = field(default_factory=lambda: defaultdict(VersionHistory))
    success_versions: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    tool_names: set[str] = field(default_factory=set[str])
    calls: int = 0
    broken_calls: Counter[str] = field(default_factory=Counter[str])
    latencies: list[float] = field(default_factory=list[float])
    models: Counter[str] = field(default_factory=Counter[str])
    known_results: dict[ArmVersion, list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0])
    )
    proven: int = 0
    baseline: dict[str | None, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))

    @property
    def verified(self) -> int:
        """Return the number of verified successes."""
        return self.successes.total()


def collect_run_facts(
    workspace: Workspace,
    agent: str,
    learned_by: Sequence[Verifier],
    proven_by: Sequence[Verifier],
    trusted: Sequence[str] = (),
) -> RunFacts:
    """Read the newest runs of an agent.

    Args:
        workspace: Where they are.
        agent: Name of the agent.
        learned_by: Verifiers that select training runs.
        proven_by: Verifiers that grade evaluations.
        trusted: Names whose received and imported facts decide.
    """
    entries = [entry for entry in workspace.entries() if entry.agent == agent]
    entries.sort(key=lambda entry: entry.started_ns)
    facts = RunFacts(recorded=len(entries))
    for run in workspace.read(entries[-MOST_RUNS:]):
        facts.read += 1
        if run.source == "evaluation" or run.metadata.get("pool") in _MEASURED_POOLS:
            _add_attempt(facts, run, conclude_run(run, proven_by, trusted))
        elif run.source in _LEARNED_SOURCES:
            _add_learnable(facts, run, learned_by, trusted)
            if run.source == "rollout":
                _add_result(facts, run, conclude_run(run, learned_by, trusted))
    return facts


def _add_attempt(facts: RunFacts, run: Trajectory, verdict: Verdict | None) -> None:
    decided = _add_result(facts, run, verdict)
    facts.proven += decided is not None
    version = _version_of_arm(run)
    if decided is not None and run.task_id and version is not None and version.adapter is None:
        facts.baseline[version.prompt][run.task_id] = decided


def _add_result(facts: RunFacts, run: Trajectory, verdict: Verdict | None) -> bool | None:
    """Count a judged attempt of one version; return its success, None if it has none."""
    version = _version_of_arm(run)
    if verdict is None or verdict.label == "unknown" or version is None:
        return None
    counts = facts.known_results[version]
    counts[0] += verdict.label == "success"
    counts[1] += 1
    return verdict.label == "success"


def _version_of_arm(run: Trajectory) -> ArmVersion | None:
    """Return the version that answered a run; None if several did, or none.

    A node whose prompt no version names has none in its calls, so a single version among the calls is that of the run.
    """
    adapters = {call.policy.adapter for call in run.model_calls}
    prompts = {call.policy.prompt for call in run.model_calls} - {None}
    if len(adapters) != 1 or len(prompts) > 1:
        return None
    return ArmVersion(adapters.pop(), next(iter(prompts), None))


def _add_learnable(
    facts: RunFacts, run: Trajectory, verifiers: Sequence[Verifier], trusted: Sequence[str]
) -> None:
    if run.source == "production":
        _add_versions(facts, run)
        if run.ended_ns:
            facts.latencies.append((run.ended_ns - run.started_ns) / 1e9)
    facts.models.update({call.policy.model for call in run.model_calls if call.policy.model})
    _add_calls(facts, run.model_calls)
    if run.status == "running":
        return
    task, known = run.task_id or run.id, _known_verdicts(run, verifiers, trusted)
    verdict = conclude_run(run, verifiers, trusted)
    if verdict is None:
        facts.unverified += 1
        return
    facts.judged_tasks.add(task)
    if any(_is_automatic(v) and known[v.name].label != "unknown" for v in verifiers):
        facts.checked_tasks.add(task)
    if verdict.label == "success":
        facts.successes[run.source] += 1
        facts.success_versions[_version_of_run(run)] += 1
    elif verdict.label == "fail":
        facts.failures += 1
    else:
        facts.undecided += 1


def _add_versions(facts: RunFacts, run: Trajectory) -> None:
    """Count each node's first prompt and tools of a run once."""
    seen: set[str] = set()
    for call in run.model_calls:
        node = call.speaker or call.node or ""
        if node in seen:
            continue
        seen.add(node)
        facts.prompts[node].add(call.policy.prompt_hash or "", run.started_ns)
        facts.tools[node].add(call.policy.tools_hash or "", run.started_ns)


def _version_of_run(run: Trajectory) -> tuple[str, str]:
    policy = run.model_calls[0].policy if run.model_calls else None
    return (policy.prompt_hash or "", policy.tools_hash or "") if policy else ("", "")


def _add_calls(facts: RunFacts, calls: Iterable[ModelCall]) -> None:
    from burnish_exporters.verify.checks.tool_calls import check_call

    for call in calls:
        facts.tool_names.update(filter(None, map(_tool_name, call.tools)))
        if not call.tools or facts.calls >= _MOST_CALLS:
            continue
        for name, arguments in _calls_of_reply(call):
            facts.calls += 1
            problem = check_call(name, arguments, call.tools)
            if problem is not None:
                facts.broken_calls[problem.kind] += 1


def _tool_name(tool: dict[str, object]) -> str:
    inner = tool.get("function")
    return str((inner if isinstance(inner, dict) else tool).get("name") or "")


def _calls_of_reply(call: ModelCall) -> Iterator[tuple[str, object]]:
    for part in (call.reply or {}).get("parts") or ():
        if isinstance(part, dict) and part.get("type") in ("tool_call", "invalid_tool_call"):
            yield str(part.get("name") or ""), part.get("arguments")


def conclude_run(
    run: Trajectory, verifiers: Sequence[Verifier], trusted: Sequence[str] = ()
) -> Verdict | None:
    """Combine the known verdicts of a run; None if a verifier has not judged it yet.

    Args:
        run: The run.
        verifiers: Verifiers that decide.
        trusted: Names whose received and imported facts decide.
    """
    from burnish_exporters.verify.running.combination import combine

    known = _known_verdicts(run, verifiers, trusted)
    if not verifiers or len(known) < len(verifiers):
        return None
    kinds = [traits_of(verifier).kind for verifier in verifiers]
    return combine([known[verifier.name] for verifier in verifiers], kinds)


def _known_verdicts(
    run: Trajectory, verifiers: Sequence[Verifier], trusted: Sequence[str]
) -> dict[str, Verdict]:
    """Return the verdict of each verifier that has one, or that only reads outcomes."""
    from burnish_exporters.verify.verdicts import earlier, judge

    found: dict[str, Verdict] = {}
    for verifier in verifiers:
        verdict = earlier(verifier, run, trusted)
        if verdict is None and _reads_outcomes_alone(verifier):
            verdict = judge(verifier, run)
        if verdict is not None:
            found[verifier.name] = verdict
    return found


def _reads_outcomes_alone(verifier: Verifier) -> bool:
    traits = traits_of(verifier)
    return traits.reads_outcomes and not traits.isolated


def _is_automatic(verifier: Verifier) -> bool:
    """Report if a verifier needs neither a model nor a person."""
    return traits_of(verifier).kind == "check" and getattr(verifier, "source", None) != "human"


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which a share of the values lies; None without any."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
