"""Try an agent's verifiers on recorded runs for `burnish doctor`; verifiers that ask a model are left out.

`try_verifiers` is the entry. The verifiers run as in `burnish verify`: in a process of their own, with limits. Nothing is
recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from burnish.errors import BurnishError, VerificationError
from burnish.journal.index.trajectory_index import Query
from burnish.protocols import Verifier, traits_of
from burnish.records import Trajectory, Verdict
from burnish.workspace import Workspace

_RUNS = 3  # of each kind: attempts in an environment, and other runs
_LIMIT_S = 20.0
_IN_ENVIRONMENTS = ("evaluation", "rollout")
_BROKEN = ("crash", "no verdict", "verifier process", "time limit")


def try_verifiers(
    agent: str, verifiers: Sequence[Verifier], home: Path | None
) -> Iterator[BurnishError | str]:
    """Yield a problem for each verifier that raises, gives no or different verdicts, and a note on what was tried.

    Args:
        agent: Name of the agent.
        verifiers: Its verifiers.
        home: Folder of the workspace.
    """
    from burnish_exporters.verify.running.pool import PoolSettings, Verification

    distinct = list({(one.name, one.version): one for one in verifiers}.values())
    tried = [one for one in distinct if traits_of(one).kind != "judge"]
    if judges := [one.name for one in distinct if traits_of(one).kind == "judge"]:
        yield f"not tried, because a model would be asked: {', '.join(judges)}"
    runs = _choose_runs(agent, home) if tried else []
    if not runs:
        return
    settings = PoolSettings(time_limit_s=_LIMIT_S, reuse=False)
    with Verification(tried, settings) as verification:
        rounds = [list(verification.judge(runs)) for _ in range(2)]
    yield f"tried twice on {len(runs)} recorded runs: {', '.join(one.name for one in tried)}"
    for place, verifier in enumerate(tried):
        first, again = (
            [(run, verdicts[place]) for run, verdicts in one_round] for one_round in rounds
        )
        yield from _describe_verdicts(verifier, first, again)


def _choose_runs(agent: str, home: Path | None) -> list[Trajectory]:
    """Return the newest ended runs of an agent, of both kinds."""
    workspace = Workspace(home)
    entries = [
        entry for entry in workspace.entries(Query(agent=agent)) if entry.status == "completed"
    ]
    entries.sort(key=lambda entry: entry.started_ns, reverse=True)
    attempts = [entry for entry in entries if entry.source in _IN_ENVIRONMENTS][:_RUNS]
    others = [entry for entry in entries if entry.source not in _IN_ENVIRONMENTS][:_RUNS]
    return list(workspace.read([*attempts, *others]))


def _describe_verdicts(
    verifier: Verifier,
    first: Sequence[tuple[Trajectory, Verdict]],
    again: Sequence[tuple[Trajectory, Verdict]],
) -> Iterator[BurnishError | str]:
    """Yield what speaks against a verifier: one problem, the gravest."""
    name = verifier.name
    broken = [(run, v) for run, v in [*first, *again] if _reason_of(v).startswith(_BROKEN)]
    if broken:
        run, verdict = broken[0]
        yield VerificationError(
            f"verifier {name} failed on run {run.id}: {_tell_evidence(verdict)}",
            "success, fail or unknown for each run",
            f"burnish traces show {run.id}",
        )
        return
    for (run, one), (_, other) in zip(first, again, strict=True):
        if one.label != other.label:
            yield VerificationError(
                f"verifier {name} gave {one.label} and then {other.label} on the same run {run.id}",
                "the same verdict each time",
                f"remove chance, time and kept state from it; burnish traces show {run.id}",
            )
            return
    if all(verdict.label == "unknown" for _, verdict in first):
        yield from _describe_unknown(verifier, first)


def _describe_unknown(
    verifier: Verifier, verdicts: Sequence[tuple[Trajectory, Verdict]]
) -> Iterator[BurnishError | str]:
    """Yield a problem for a verifier that decides no run; a note if it waits for outcomes or saw few runs."""
    counts = Counter(_tell_evidence(verdict) for _, verdict in verdicts)
    told = f"verifier {verifier.name} decides none of {len(verdicts)} recorded runs: {counts.most_common(1)[0][0]}"
    if traits_of(verifier).reads_outcomes:
        yield f"{told}; it waits for outcomes"
        return
    if len(verdicts) < _RUNS:  # a run without a task may be undecidable
        yield told
        return
    run = verdicts[0][0].id
    yield VerificationError(
        told, "a verdict of success or fail on some run", f"burnish traces show {run}"
    )


def _reason_of(verdict: Verdict) -> str:
    evidence = verdict.evidence
    return str(evidence.get("reason", "")) if isinstance(evidence, dict) else ""


def _tell_evidence(verdict: Verdict) -> str:
    evidence = verdict.evidence
    parts: Iterable[object] = (
        (evidence.get("reason"), evidence.get("detail")) if isinstance(evidence, dict) else ()
    )
    return ": ".join(str(part)[:200] for part in parts if part) or "no reason given"
