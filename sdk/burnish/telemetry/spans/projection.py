"""Convert journal events to spans of the GenAI conventions.

`project_events` converts a whole process; `Projector` works event by event. A start event opens a
span, its end event completes it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar, cast

import msgspec

from burnish.journal import events as e
from burnish.records import Json, Origin, Span, SpanKind
from burnish.telemetry import semconv as s
from burnish.telemetry.spans.attributes import (
    Attributes,
    Blobs,
    count_missing,
    read_extras,
    read_run_id,
    set_contents,
    set_present,
)
from burnish.telemetry.spans.facts import FACTS
from burnish.telemetry.spans.received_spans import restore_span
from burnish.telemetry.spans.tool_attributes import describe_tool

_TRACES = 100_000  # trajectories whose trace id is cached for late events
_DESCRIBED = 1000  # trajectories whose tool descriptions are cached


_Open = tuple[e.AnyEvent, Blobs, str]


class _Run(NamedTuple):
    """Facts of a run that all spans of its trajectory repeat."""

    trace: str
    span: str | None
    said: dict[str, Json]  # agent, thread and user


class Projector:
    """Builds the spans of one process from its events in order."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._agents: set[str] = set()  # open nodes that are agents inside the agent
        self._roots: OrderedDict[str, _Run] = OrderedDict()
        self._threads: OrderedDict[str, _Run] = OrderedDict()  # the last run of each thread
        self._tools: OrderedDict[str, tuple[e.Ref, dict[str, str]]] = OrderedDict()

    def add_event(self, event: e.AnyEvent, blobs: Blobs) -> Span | None:
        """Return the span that this event completes, if any."""
        if isinstance(event, _STARTS):
            if isinstance(event, e.NodeStarted):
                if self._is_inner_agent(event):
                    self._agents.add(event.span)
            elif isinstance(event, e.ModelStarted):
                if event.tools is not None:
                    self._describe_tools(event.trajectory, event.tools, blobs)
            elif isinstance(event, e.RunStarted):
                self._remember_run(event)
            self._open[event.span] = (event, blobs, self._find_run(event.trajectory).trace)
            return None
        if isinstance(event, _ENDS):
            opened = self._open.pop(event.span, None)
            if opened is None:
                counted = e.Dropped(
                    at=event.at, trajectory=event.trajectory, counts={"missing_starts": 1}
                )
                return self._project_fact(counted, blobs)
            return self._add_run_attributes(
                self._mark_agent_node(_build_span(opened, event, blobs))
            )
        if isinstance(event, e.SpanReceived):
            return restore_span(event, blobs)
        return self._project_fact(event, blobs)

    def project_unfinished(self, *, alive: bool) -> Iterator[Span]:
        """Yield the spans without an end event; `alive`: the process may still write one."""
        for opened in self._open.values():
            span = self._add_run_attributes(
                self._mark_agent_node(_build_span(opened, None, opened[1]))
            )
            if span.kind == "agent":
                span.attributes[s.STATUS] = "running" if alive else "abandoned"
            yield span

    def open_spans(self) -> Iterable[str]:
        """Return the ids of the open spans."""
        return self._open.keys()

    def _is_inner_agent(self, node: e.NodeStarted) -> bool:
        """Return True if a node is an agent with its own name inside an agent with another name."""
        outside = None if node.parent is None else self._open.get(node.parent)
        if outside is None or node.speaker is None or node.speaker != node.name:
            return False
        around = outside[0]
        speaker = around.agent if isinstance(around, e.RunStarted) else around.speaker  # pyright: ignore[reportAttributeAccessIssue]
        return speaker != node.speaker

    def _mark_agent_node(self, span: Span) -> Span:
        """Mark the span of a node that is an agent with the conventions' operation."""
        if span.span_id not in self._agents:
            return span
        self._agents.discard(span.span_id)
        said = {s.OPERATION: "invoke_agent", s.AGENT: span.name}
        return msgspec.structs.replace(
            span, name=f"invoke_agent {span.name}", attributes={**said, **span.attributes}
        )

    def _add_run_attributes(self, span: Span) -> Span:
        """Add agent, thread and user of the run to a span, as the conventions ask."""
        trajectory = span.attributes.get(s.TRAJECTORY)
        if span.kind == "agent" or trajectory not in self._roots:
            return span
        for key, value in self._roots[trajectory].said.items():
            span.attributes.setdefault(key, value)
        if span.kind == "tool" and trajectory in self._tools:
            told = self._tools[trajectory][1].get(span.attributes.get(s.TOOL_NAME, ""))
            set_present(span.attributes, {s.TOOL_DESCRIPTION: told})
        return span

    def _describe_tools(self, trajectory: str, ref: e.Ref, blobs: Blobs) -> None:
        """Cache the tool descriptions of a request for the spans of tool runs."""
        if trajectory in self._tools and self._tools[trajectory][0] == ref:
            return
        found: Attributes = {}
        set_contents(found, blobs, {s.TOOL_DEFINITIONS: ref})
        tools = found.get(s.TOOL_DEFINITIONS)
        pairs = [
            (tool.get("name"), tool.get("description"))
            for tool in (tools if isinstance(tools, list) else ())
            if isinstance(tool, dict)
        ]
        told = {n: text for n, text in pairs if isinstance(n, str) and isinstance(text, str)}
        _keep_newest(self._tools, trajectory, (ref, told), _DESCRIBED)

    def _remember_run(self, event: e.RunStarted) -> None:
        said: Attributes = {}
        names = {s.AGENT: event.agent, s.CONVERSATION: event.thread_id, s.USER: event.user}
        set_present(said, names)
        run = _Run(event.trace, event.span, said)
        _keep_newest(self._roots, event.trajectory, run, _TRACES)
        if event.thread_id is not None:
            _keep_newest(self._threads, event.thread_id, run, _TRACES)

    def _find_run(self, trajectory: str) -> _Run:
        return self._roots.get(trajectory) or _Run(trajectory, None, {})

    def _find_subject(self, event: e.AnyEvent) -> _Run | None:
        """Find the run that a fact is about: that of its trajectory, or the last of its thread."""
        if event.trajectory is not None:
            return self._find_run(event.trajectory)
        thread = getattr(event, "thread_id", None)
        return self._threads.get(thread) if thread is not None else None

    def _project_fact(self, event: e.AnyEvent, blobs: Blobs) -> Span:
        name, attributes = FACTS[type(event)](event, blobs)
        digest = hashlib.blake2b(e.encode(event), digest_size=24).hexdigest()
        if event.redacted:
            attributes[s.REDACTED] = True
        if event.trajectory is not None:
            attributes[s.TRAJECTORY] = event.trajectory
        judged = self._find_subject(event) or _Run(digest[16:], None, {})
        return Span(
            trace_id=judged.trace,
            span_id=digest[:16],
            parent_id=judged.span,
            kind="fact",
            name=name,
            start_ns=event.at,
            end_ns=event.at,
            status="unset",
            attributes=attributes,
            origin=cast("Origin", getattr(event, "origin", "own")),
        )


_Kept = TypeVar("_Kept")


def _keep_newest(kept: OrderedDict[str, _Kept], key: str, value: _Kept, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def project_events(chapter: Iterable[tuple[e.AnyEvent, Blobs]], *, alive: bool) -> Iterator[Span]:
    """Yield all spans of one process's events, including unfinished ones."""
    projector = Projector()
    for event, blobs in chapter:
        span = projector.add_event(event, blobs)
        if span is not None:
            yield span
    yield from projector.project_unfinished(alive=alive)


def _build_span(opened: _Open, end: e.AnyEvent | None, end_blobs: Blobs) -> Span:
    start, blobs, trace = opened
    kind, build = _KINDS[type(start)]
    attributes: Attributes = {s.TRAJECTORY: start.trajectory}
    name = build(attributes, start, blobs, end, end_blobs)
    _set_position(attributes, start)
    failed = end is not None and _set_error(attributes, end)
    if end is None:
        attributes[s.UNFINISHED] = True
    elif getattr(end, "cut", False):
        attributes[s.CUT] = True
    if start.redacted or (end is not None and end.redacted):
        attributes[s.REDACTED] = True
    return Span(
        trace_id=trace,
        span_id=start.span,  # pyright: ignore[reportAttributeAccessIssue]
        parent_id=start.parent,  # pyright: ignore[reportAttributeAccessIssue]
        kind=kind,
        name=name,
        start_ns=start.at,
        end_ns=None if end is None else end.at,
        status="error" if failed else "unset" if end is None else "ok",
        attributes=attributes,
    )


def _set_position(attributes: Attributes, start: e.AnyEvent) -> None:
    """Set the position in the graph, as far as the event holds it."""
    for field, name in _PLACES[type(start)]:
        value = getattr(start, field)
        if value is not None:
            attributes[name] = value
    attempt = getattr(start, "attempt", 1)
    if attempt != 1:
        attributes[s.ATTEMPT] = attempt


def _set_error(attributes: Attributes, end: e.AnyEvent) -> bool:
    bubbled = getattr(end, "bubbled", None)
    if bubbled is not None:
        attributes[s.BUBBLED] = bubbled
    error_type = getattr(end, "error_type", None)
    if error_type is None:
        return False
    attributes[s.ERROR_TYPE] = error_type
    attributes[s.ERROR_MESSAGE] = getattr(end, "error", None) or ""
    return bubbled is None


def _describe_run(
    attributes: Attributes,
    start: e.RunStarted,
    blobs: Blobs,
    end: e.RunEnded | None,
    end_blobs: Blobs,
) -> str:
    set_present(
        attributes,
        {
            s.OPERATION: start.operation,
            s.AGENT: start.agent,
            s.WORKFLOW: start.agent if start.operation == "invoke_workflow" else None,
            s.CONVERSATION: start.thread_id,
            s.USER: start.user,
            s.TASK: start.task_id,
            s.SOURCE: start.source,
            s.ENVIRONMENT: start.environment,
            s.MODE: start.mode,
            s.ENTRY: start.entry,
            s.RESUMED: start.resumed or None,
            s.TAGS: list(start.tags) or None,
        },
    )
    if end is not None:
        set_present(
            attributes,
            {
                s.STATUS: end.status,
                s.ANSWER: end.answer,
                s.LOSSES: dict(end.losses) or None,
                s.INTERRUPTS: list(end.interrupts) or None,
            },
        )
        set_contents(attributes, end_blobs, {s.OUTPUT: end.output})
    set_contents(attributes, blobs, {s.INPUT: start.input, s.METADATA: start.metadata})
    return f"{start.operation} {start.agent}"


def _describe_node(
    attributes: Attributes,
    start: e.NodeStarted,
    blobs: Blobs,
    end: e.NodeEnded | None,
    end_blobs: Blobs,
) -> str:
    return start.name


def _describe_model(
    attributes: Attributes,
    start: e.ModelStarted,
    blobs: Blobs,
    end: e.ModelEnded | None,
    end_blobs: Blobs,
) -> str:
    set_present(
        attributes,
        {
            s.OPERATION: "chat",
            s.PROVIDER: start.provider or "unknown",
            s.REQUEST_MODEL: start.model,
            s.ADAPTER: start.adapter,
            s.ARM: start.arm,
            s.PROMPT_VERSION: start.prompt,
        },
    )
    attributes[s.INPUT_MESSAGES] = _read_messages(attributes, start.messages, blobs)
    set_contents(attributes, blobs, {s.TOOL_DEFINITIONS: start.tools, s.REQUEST: start.request})
    request = attributes.get(s.REQUEST)
    if isinstance(request, dict):
        _set_sampling(attributes, request)
    extras = read_run_id(start) | read_extras(attributes, blobs, start.extras)
    if end is not None:
        _set_reply(attributes, end, end_blobs, start.at)
        extras = {**extras, **read_extras(attributes, end_blobs, end.extras)}
    if extras:
        attributes[s.EXTRAS] = extras
    return f"chat {start.model}" if start.model else "chat"


def _read_messages(attributes: Attributes, refs: list[e.Ref], blobs: Blobs) -> list[Json]:
    known = blobs.values(refs)
    if known is not None:
        return known
    messages = []
    for ref in refs:
        try:
            messages.append(blobs.value(ref))
        except (KeyError, ValueError):
            messages.append({"role": "unknown", "parts": []})
            count_missing(attributes)
    return messages


def _set_sampling(attributes: Attributes, request: dict[str, Json]) -> None:
    sampling = request.get("sampling")
    for source in (request, sampling if isinstance(sampling, dict) else {}):
        for key, name in s.SAMPLING.items():
            value = source.get(key)
            if value is not None:
                attributes[name] = [value] if key == "stop" and isinstance(value, str) else value


def _set_reply(attributes: Attributes, end: e.ModelEnded, blobs: Blobs, started: int) -> None:
    set_present(
        attributes,
        {
            s.RESPONSE_MODEL: end.model,
            s.RESPONSE_ID: end.response_id,
            s.FINISH_REASONS: None if end.finish_reason is None else [end.finish_reason],
            s.ADAPTER: end.adapter,
            s.ARM: end.arm,
            s.ROLLOUT: end.rollout,
            s.SHARE: end.share,
            s.PROMPT_TOKEN_IDS: end.prompt_token_ids,
            s.TOKEN_IDS: end.token_ids,
            s.LOGPROBS: end.logprobs,
            s.SAMPLED: None if end.sampled else False,
        },
    )
    if end.first_token_at is not None:
        attributes[s.FIRST_CHUNK] = (end.first_token_at - started) / 1e9
    # An event of this process was not decoded, so its types are what a caller gave.
    for key, value in cast("dict[str, int | None]", end.usage or {}).items():
        if value is not None:
            attributes[s.USAGE.get(key, f"burnish.usage.{key}")] = value
    reply: Attributes = {}
    set_contents(reply, blobs, {s.OUTPUT_MESSAGES: end.reply})
    if s.OUTPUT_MESSAGES in reply:
        attributes[s.OUTPUT_MESSAGES] = [reply[s.OUTPUT_MESSAGES]]
    elif s.LOSSES in reply:
        count_missing(attributes)


_STARTS = (e.NodeStarted, e.ModelStarted, e.ToolStarted, e.RunStarted)  # the most frequent first
_ENDS = (e.RunEnded, e.NodeEnded, e.ModelEnded, e.ToolEnded)
_KINDS: dict[type, tuple[SpanKind, Callable[..., str]]] = {
    e.RunStarted: ("agent", _describe_run),
    e.NodeStarted: ("node", _describe_node),
    e.ModelStarted: ("model", _describe_model),
    e.ToolStarted: ("tool", describe_tool),
}
_PLACES = {
    kind: [(field, name) for field, name in (
        ("node", s.NODE), ("step", s.STEP), ("namespace", s.NAMESPACE), ("speaker", s.SPEAKER),
    ) if field in kind.__struct_fields__]
    for kind in _KINDS
}  # fmt: skip
