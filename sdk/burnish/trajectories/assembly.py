"""Spans become trajectories.

Knows: what belongs to one attempt, how resumed runs are joined, what counts as lost.
Does not know: where the spans come from, whether the attempt succeeded.
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
from burnish.telemetry import tool_attributes
from burnish.telemetry.references import resolve_content
from burnish.trajectories import facts, identity
from burnish.trajectories.calls import CallReader, failure
from burnish.trajectories.facts import Ended

_LOG = logging.getLogger("burnish.trajectories")


class Parts(msgspec.Struct):
    """Spans of one trajectory, by what they are."""

    id: str
    runs: list[Span] = []
    models: list[Span] = []
    tools: list[Span] = []
    facts: dict[str, list[Span]] = {}
    redacted: bool = False  # in any of them, also in nodes, which are kept nowhere else

    def add(self, span: Span) -> None:
        """Take one more span, with the content that it refers to."""
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
    """Trajectories of these spans, in the order of their first span.

    Spans may come in any order and more than once. Outcomes that name a thread are given to the
    trajectories among these spans that they are about.
    """
    found: dict[str, Parts] = {}
    threads: dict[str, list[Span]] = {}
    for span in spans:
        key = owner(span)
        if key is None:
            about_thread(span, threads)
            continue
        if key not in found:
            found[key] = Parts(key)
        found[key].add(span)
    yield from finished(found, threads, ended_by_thread(found.values()) if threads else {})


def owner(span: Span) -> str | None:
    """The trajectory that a span belongs to; None for a fact about a thread."""
    key = span.attributes.get(s.TRAJECTORY)
    key = key if isinstance(key, str) else None
    return None if key is None and span.kind == "fact" else key or span.trace_id


def about_thread(span: Span, threads: dict[str, list[Span]]) -> None:
    """Keep a fact under the thread that it names; one that names none is about nothing."""
    thread = span.attributes.get(s.CONVERSATION)
    if thread is not None:
        threads.setdefault(str(thread), []).append(span)


def finished(
    found: dict[str, Parts], threads: dict[str, list[Span]], ended: dict[str, list[Ended]]
) -> Iterator[Trajectory]:
    """The trajectories of gathered parts, which are given up one by one.

    Args:
        found: Parts by trajectory.
        threads: Facts about threads.
        ended: When the trajectories of each thread ended, those in other hands included.
    """
    for key in list(found):
        parts = found.pop(key)
        thread = _thread(parts)
        if thread in threads and thread in ended:
            for span in threads[thread]:
                if facts.meant(span, key, ended[thread]):
                    parts.add(span)
        trajectory = assemble_one(parts)
        if trajectory is not None:
            yield trajectory


def assemble_one(parts: Parts) -> Trajectory | None:
    """The trajectory of these spans; None where they tell of no run and no call.

    Spans that cannot be put together give a trajectory with the loss `unreadable_spans`, so that
    one run fails and not the reading of all.
    """
    try:
        return _assembled(parts)
    except Exception as fault:  # noqa: BLE001 - odd content of one run must not end the reading of others
        _LOG.warning("trajectory %s cannot be put together: %r", parts.id, fault)
        return _unreadable(parts)


def _unreadable(parts: Parts) -> Trajectory:
    """What can be said of a run whose spans are of no use."""
    spans = _timed(parts)
    agents = (run.attributes.get(s.AGENT) for run in parts.runs)
    return Trajectory(
        id=parts.id,
        origin="own" if _is_own(parts) else "received",
        agent=next((agent for agent in agents if isinstance(agent, str)), ""),
        status="abandoned",
        thread_id=_thread(parts) or None,
        started_ns=min((span.start_ns for span in spans), default=0),
        losses={"unreadable_spans": max(1, len(spans))},
    )


def _assembled(parts: Parts) -> Trajectory | None:
    for name in ("runs", "models", "tools"):
        setattr(parts, name, _once(getattr(parts, name)))
    foreign = _leave_out_foreign(parts)
    if not (parts.runs or parts.models or parts.tools):
        return None
    roots = root_runs(parts.runs)
    first = roots[0] if roots else min(parts.models + parts.tools, key=_moment)
    last = roots[-1] if roots else first
    reader = CallReader()
    calls = [reader.model_call(span) for span in parts.models]
    tools = [reader.tool_run(span) for span in parts.tools]
    get = first.attributes.get
    status = _status(last, parts.runs) if roots else "abandoned"
    state, state_origin = facts.newest_state(parts.facts.get("state", ()))
    return Trajectory(
        id=parts.id,
        agent=get(s.AGENT) or "",
        status=status,
        thread_id=get(s.CONVERSATION),
        user=get(s.USER),
        task_id=get(s.TASK) or identity.task_id(calls),
        attempt=get(s.ATTEMPT, 1) if roots else 1,
        source=get(s.SOURCE) or "production",
        origin="own" if _is_own(parts) else "received",
        environment=get(s.ENVIRONMENT),
        mode="explore" if get(s.MODE) == "explore" else "exploit",
        started_ns=first.start_ns,
        ended_ns=last.end_ns if roots else max(span.end_ns or 0 for span in _timed(parts)) or None,
        input=get(s.INPUT),
        answer=_answer(last, status, calls),
        final_state=state,
        state_origin=state_origin,
        error=failure(last),
        policies=_distinct([call.policy for call in calls]),
        model_calls=calls,
        tool_runs=[run for run in tools if not tool_attributes.is_memory_access(run)],
        memory=[run for run in tools if tool_attributes.is_memory_access(run)],
        outcomes=facts.newest_outcomes(_once(parts.facts.get("outcome", ()))),
        verdicts=facts.newest_verdicts(_once(parts.facts.get("verdict", ()))),
        losses=_losses(parts, calls, tools, status, foreign),
        redacted=parts.redacted,
        trace_ids=_distinct([span.trace_id for span in sorted(_timed(parts), key=_moment)]),
        tags=_distinct([tag for run in roots for tag in run.attributes.get(s.TAGS) or ()]),
        metadata=_metadata(roots),
    )


def _leave_out_foreign(parts: Parts) -> int:
    """Drop received spans of a trajectory that was recorded here; returns how many.

    What another party says about our own run is a fact with its origin, never a piece of the run.
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


def _is_own(parts: Parts) -> bool:
    """Whether any span of the trajectory was recorded here."""
    return any(span.origin != "received" for span in _timed(parts))


def root_runs(runs: Sequence[Span]) -> list[Span]:
    """The runs that make up the trajectory: the first, and each that resumed it.

    A run that began inside another one of the same trajectory is part of that one.
    """
    own = {run.span_id for run in runs}
    tops = [run for run in runs if run.parent_id not in own] or list(runs[:1])  # a cycle
    return [tops[0], *(run for run in tops[1:] if run.attributes.get(s.RESUMED))] if tops else []


def _once(spans: Iterable[Span]) -> list[Span]:
    """Spans by time, each once: our own before another's, a finished one before an unfinished one."""
    chosen: dict[str, Span] = {}
    for span in spans:
        before = chosen.get(span.span_id)
        if before is None or _rank(span) > _rank(before):
            chosen[span.span_id] = span
    return sorted(chosen.values(), key=_moment)


def _rank(span: Span) -> tuple[bool, bool]:
    return span.origin == "own", span.end_ns is not None


def _moment(span: Span) -> tuple[int, str]:
    return span.start_ns, span.span_id


def _timed(parts: Parts) -> list[Span]:
    return parts.runs + parts.models + parts.tools


def _thread(parts: Parts) -> str:
    runs = root_runs(_once(parts.runs))
    thread = runs[0].attributes.get(s.CONVERSATION) if runs else None
    return "" if thread is None else str(thread)


def ended_by_thread(found: Iterable[Parts]) -> dict[str, list[Ended]]:
    """When the trajectories of each thread ended."""
    threads: dict[str, list[Ended]] = {}
    for parts in found:
        runs = root_runs(_once(parts.runs))
        if runs:
            thread = str(runs[0].attributes.get(s.CONVERSATION))
            threads.setdefault(thread, []).append(Ended(parts.id, runs[-1].end_ns))
    return threads


def _status(run: Span, runs: Sequence[Span]) -> Any:
    """How a run ended; a workflow of another tool that only holds one agent ends as that does."""
    status = run.attributes.get(s.STATUS)
    if status is not None:
        return status
    if run.end_ns is None:
        return "abandoned"
    inner = [other for other in runs if other.parent_id == run.span_id]
    alone = inner[0] if len(inner) == 1 and run.status == "unset" else run
    return "failed" if alone.status == "error" else "completed"


def _answer(run: Span, status: str, calls: list[ModelCall]) -> str | None:
    """What the run said at its end; else what the model said last, where it called no tool."""
    answer = run.attributes.get(s.ANSWER)
    if answer is not None or status != "completed" or not calls:
        return answer
    parts = (calls[-1].reply or {}).get("parts") or []
    if any(part.get("type") == "tool_call" for part in parts):
        return None
    texts = [part.get("content") for part in parts if part.get("type") == "text"]
    return "".join(text for text in texts if isinstance(text, str)) or None


def _distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _metadata(runs: list[Span]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for run in runs:
        value = run.attributes.get(s.METADATA)
        merged.update(value if isinstance(value, dict) else {})
    return merged


def _losses(
    parts: Parts, calls: list[ModelCall], tools: list[ToolRun], status: str, foreign: int
) -> dict[str, int]:
    """What capture, storage or delivery could not keep, by kind; empty if nothing."""
    losses: Counter[str] = Counter()
    own = _is_own(parts)
    for span in (*_timed(parts), *_once(parts.facts.get("losses", ()))):
        if span.origin != "received" or not own:
            losses.update(_counts(span.attributes.get(s.LOSSES)))
    losses["foreign_spans"] += foreign
    if status != "running":
        losses["unfinished_spans"] += sum(span.end_ns is None for span in _timed(parts))
    losses["missing_root"] += not parts.runs
    losses["unmatched_tool_ids"] += _unmatched(calls, tools)
    return {kind: count for kind, count in sorted(losses.items()) if count}


def _counts(value: Any) -> dict[str, int]:
    """Losses as a span tells them; what is no count is nothing."""
    items = value.items() if isinstance(value, dict) else ()
    return {str(kind): count for kind, count in items if isinstance(count, int) and count > 0}


def _unmatched(calls: list[ModelCall], tools: list[ToolRun]) -> int:
    """Tool runs whose call nobody made, as far as the model calls tell."""
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
