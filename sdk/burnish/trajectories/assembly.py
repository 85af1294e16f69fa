"""Assemble spans to trajectories: group by attempt, join resumed runs, count losses.

`assemble` is the entry.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from burnish.records import ModelCall, Span, ToolRun, Trajectory
from burnish.telemetry import semconv as s
from burnish.telemetry.spans import tool_attributes
from burnish.telemetry.spans.references import resolve_content
from burnish.trajectories import facts, identity
from burnish.trajectories.calls import CallReader, read_failure
from burnish.trajectories.facts import EndedTrajectory

_LOG = logging.getLogger("burnish.trajectories")


class TrajectoryParts(msgspec.Struct):
    """Spans of one trajectory, by kind."""

    id: str
    runs: list[Span] = []
    models: list[Span] = []
    tools: list[Span] = []
    facts: dict[str, list[Span]] = {}
    redacted: bool = False  # in any span, including nodes, which are not kept

    def add(self, span: Span) -> None:
        """Add a span, with the content that it refers to."""
        span = resolve_content(span)
        kind = span.kind
        if s.REDACTED in span.attributes and (kind != "fact" or span.origin != "received"):
            self.redacted = True
        if kind == "model":
            self.models.append(span)
        elif kind == "tool":
            self.tools.append(span)
        elif kind == "agent":
            self.runs.append(span)
        elif kind == "fact":
            self.facts.setdefault(str(span.attributes.get(s.FACT)), []).append(span)


def assemble(spans: Iterable[Span]) -> Iterator[Trajectory]:
    """Yield the trajectories of these spans, in the order of their first span.

    Spans may come in any order and more than once. Outcomes of a thread go to the trajectories among
    these spans that they concern.
    """
    found: dict[str, TrajectoryParts] = {}
    threads: dict[str, list[Span]] = {}
    for span in spans:
        key = find_trajectory_id(span)
        if key is None:
            keep_thread_fact(span, threads)
            continue
        if key not in found:
            found[key] = TrajectoryParts(key)
        found[key].add(span)
    yield from finish_trajectories(
        found, threads, group_ends_by_thread(found.values()) if threads else {}
    )


def find_trajectory_id(span: Span) -> str | None:
    """Return the id of the trajectory that a span belongs to; None for a fact about a thread."""
    key = span.attributes.get(s.TRAJECTORY)
    key = key if isinstance(key, str) else None
    return None if key is None and span.kind == "fact" else key or span.trace_id


def keep_thread_fact(span: Span, threads: dict[str, list[Span]]) -> None:
    """Keep a fact under the thread that it names; ignore one without a thread."""
    thread = span.attributes.get(s.CONVERSATION)
    if thread is not None:
        threads.setdefault(str(thread), []).append(span)


def finish_trajectories(
    found: dict[str, TrajectoryParts],
    threads: dict[str, list[Span]],
    ended: dict[str, list[EndedTrajectory]],
) -> Iterator[Trajectory]:
    """Yield the trajectories of collected parts, and remove the parts one by one.

    Args:
        found: Parts by trajectory.
        threads: Facts about threads.
        ended: End times of all trajectories of each thread, also of those not in `found`.
    """
    for key in list(found):
        parts = found.pop(key)
        thread = _find_thread(parts)
        if thread in threads and thread in ended:
            for span in threads[thread]:
                if facts.concerns_trajectory(span, key, ended[thread]):
                    parts.add(span)
        trajectory = assemble_parts(parts)
        if trajectory is not None:
            yield trajectory


def assemble_parts(parts: TrajectoryParts) -> Trajectory | None:
    """Assemble the spans of one trajectory; None if they hold no run and no call.

    Spans that cannot be assembled give a trajectory with the loss `unreadable_spans`, so that one bad
    run does not stop the reading of the others.
    """
    try:
        return _build_trajectory(parts)
    except Exception as fault:  # noqa: BLE001 - odd content of one run must not end the reading of others
        _LOG.warning("trajectory %s cannot be assembled: %r", parts.id, fault)
        return _make_unreadable(parts)


def _make_unreadable(parts: TrajectoryParts) -> Trajectory:
    """Make a trajectory with the loss `unreadable_spans` for a run whose spans are unusable."""
    spans = _timed_spans(parts)
    agents = (run.attributes.get(s.AGENT) for run in parts.runs)
    return Trajectory(
        id=parts.id,
        origin="own" if _is_own(parts) else "received",
        agent=next((agent for agent in agents if isinstance(agent, str)), ""),
        status="abandoned",
        thread_id=_find_thread(parts) or None,
        started_ns=min((span.start_ns for span in spans), default=0),
        losses={"unreadable_spans": max(1, len(spans))},
    )


def _build_trajectory(parts: TrajectoryParts) -> Trajectory | None:
    for name in ("runs", "models", "tools"):
        setattr(parts, name, _deduplicate(getattr(parts, name)))
    foreign = _leave_out_foreign(parts)
    if not (parts.runs or parts.models or parts.tools):
        return None
    roots = select_root_runs(parts.runs)
    first = roots[0] if roots else min(parts.models + parts.tools, key=_sort_key)
    last = roots[-1] if roots else first
    reader = CallReader()
    calls = [reader.read_model_call(span) for span in parts.models]
    tools = [reader.read_tool_run(span) for span in parts.tools]
    get = first.attributes.get
    status = _read_status(last, parts.runs) if roots else "abandoned"
    state, state_origin = facts.select_newest_state(parts.facts.get("state", ()))
    return Trajectory(
        id=parts.id,
        agent=get(s.AGENT) or "",
        status=status,
        thread_id=get(s.CONVERSATION),
        user=get(s.USER),
        task_id=get(s.TASK) or identity.derive_task_id(calls),
        attempt=get(s.ATTEMPT, 1) if roots else 1,
        source=get(s.SOURCE) or "production",
        origin="own" if _is_own(parts) else "received",
        environment=get(s.ENVIRONMENT),
        mode="explore" if get(s.MODE) == "explore" else "exploit",
        started_ns=first.start_ns,
        ended_ns=last.end_ns
        if roots
        else max(span.end_ns or 0 for span in _timed_spans(parts)) or None,
        input=get(s.INPUT),
        answer=_read_answer(last, status, calls),
        final_state=state,
        state_origin=state_origin,
        error=read_failure(last),
        policies=_keep_distinct([call.policy for call in calls]),
        model_calls=calls,
        tool_runs=[run for run in tools if not tool_attributes.is_memory_access(run)],
        memory=[run for run in tools if tool_attributes.is_memory_access(run)],
        outcomes=facts.select_newest_outcomes(_deduplicate(parts.facts.get("outcome", ()))),
        verdicts=facts.select_newest_verdicts(_deduplicate(parts.facts.get("verdict", ()))),
        losses=_count_losses(parts, calls, tools, status, foreign),
        redacted=parts.redacted,
        trace_ids=_keep_distinct(
            [span.trace_id for span in sorted(_timed_spans(parts), key=_sort_key)]
        ),
        tags=_keep_distinct([tag for run in roots for tag in run.attributes.get(s.TAGS) or ()]),
        metadata=_merge_metadata(roots),
    )


def _leave_out_foreign(parts: TrajectoryParts) -> int:
    """Drop received spans of a trajectory that was recorded here; return how many.

    Another party's statement about our own run is a fact with an origin, never a part of the run.
    """
    if not _is_own(parts):
        return 0
    left_out = 0
    for name in ("runs", "models", "tools"):
        spans: list[Span] = getattr(parts, name)
        own = [span for span in spans if span.origin == "own"]
        left_out += len(spans) - len(own)
        setattr(parts, name, own)
    return left_out


def _is_own(parts: TrajectoryParts) -> bool:
    """Return True if any span of the trajectory was recorded here."""
    return any(span.origin != "received" for span in _timed_spans(parts))


def select_root_runs(runs: Sequence[Span]) -> list[Span]:
    """Return the runs that make up the trajectory: the first, and each that resumed it.

    A run inside another run of the same trajectory is part of that run.
    """
    own = {run.span_id for run in runs}
    tops = [run for run in runs if run.parent_id not in own] or list(runs[:1])  # a cycle
    return [tops[0], *(run for run in tops[1:] if run.attributes.get(s.RESUMED))] if tops else []


def _deduplicate(spans: Iterable[Span]) -> list[Span]:
    """Sort spans by time, each once; own spans win over received, finished over unfinished."""
    chosen: dict[str, Span] = {}
    for span in spans:
        before = chosen.get(span.span_id)
        if before is None or _rank_span(span) > _rank_span(before):
            chosen[span.span_id] = span
    return sorted(chosen.values(), key=_sort_key)


def _rank_span(span: Span) -> tuple[bool, bool]:
    return span.origin == "own", span.end_ns is not None


def _sort_key(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id


def _timed_spans(parts: TrajectoryParts) -> list[Span]:
    return parts.runs + parts.models + parts.tools


def _find_thread(parts: TrajectoryParts) -> str:
    runs = select_root_runs(_deduplicate(parts.runs))
    thread = runs[0].attributes.get(s.CONVERSATION) if runs else None
    return "" if thread is None else str(thread)


def group_ends_by_thread(found: Iterable[TrajectoryParts]) -> dict[str, list[EndedTrajectory]]:
    """Return the end times of the trajectories of each thread."""
    threads: dict[str, list[EndedTrajectory]] = {}
    for parts in found:
        runs = select_root_runs(_deduplicate(parts.runs))
        if runs:
            thread = str(runs[0].attributes.get(s.CONVERSATION))
            threads.setdefault(thread, []).append(EndedTrajectory(parts.id, runs[-1].end_ns))
    return threads


def _read_status(run: Span, runs: Sequence[Span]) -> Any:
    """Return a run's status; another tool's workflow around a single agent takes the agent's."""
    status = run.attributes.get(s.STATUS)
    if status is not None:
        return status
    if run.end_ns is None:
        return "abandoned"
    inner = [other for other in runs if other.parent_id == run.span_id]
    alone = inner[0] if len(inner) == 1 and run.status == "unset" else run
    return "failed" if alone.status == "error" else "completed"


def _read_answer(run: Span, status: str, calls: list[ModelCall]) -> str | None:
    """Return the run's answer, or else the model's last reply if it calls no tool."""
    answer = run.attributes.get(s.ANSWER)
    if answer is not None or status != "completed" or not calls:
        return answer
    parts = (calls[-1].reply or {}).get("parts") or []
    if any(part.get("type") == "tool_call" for part in parts):
        return None
    texts = [part.get("content") for part in parts if part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _keep_distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _merge_metadata(runs: list[Span]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for run in runs:
        value = run.attributes.get(s.METADATA)
        merged.update(value if isinstance(value, dict) else {})
    return merged


def _count_losses(
    parts: TrajectoryParts, calls: list[ModelCall], tools: list[ToolRun], status: str, foreign: int
) -> dict[str, int]:
    """Count what capture, storage or delivery could not keep, by kind."""
    losses: Counter[str] = Counter()
    own = _is_own(parts)
    for span in (*_timed_spans(parts), *_deduplicate(parts.facts.get("losses", ()))):
        if span.origin != "received" or not own:
            losses.update(_read_counts(span.attributes.get(s.LOSSES)))
    losses["foreign_spans"] += foreign
    if status != "running":
        losses["unfinished_spans"] += sum(span.end_ns is None for span in _timed_spans(parts))
    losses["missing_root"] += not parts.runs
    losses["unmatched_tool_ids"] += _count_unmatched_tools(calls, tools)
    return {kind: count for kind, count in sorted(losses.items()) if count}


def _read_counts(value: Any) -> dict[str, int]:
    """Read the losses of a span; ignore values that are not counts."""
    items = value.items() if isinstance(value, dict) else ()
    return {str(kind): count for kind, count in items if isinstance(count, int) and count > 0}


def _count_unmatched_tools(calls: list[ModelCall], tools: list[ToolRun]) -> int:
    """Count tool runs whose call id no model call contains."""
    wanted = {run.call_id for run in tools if run.call_id is not None}
    if not wanted or not calls:
        return 0
    seen: set[int] = set()
    replies = (call.reply for call in calls)
    requests = (message for call in calls for message in call.messages)
    for message in itertools.chain(replies, requests):
        if message is None or id(message) in seen:
            continue
        seen.add(id(message))
        for part in message.get("parts") or ():
            if isinstance(part, dict) and part.get("type") == "tool_call":
                wanted.discard(part.get("id"))
                if not wanted:
                    return 0
    return len(wanted)
