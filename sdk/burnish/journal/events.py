"""Define the events that capture writes to the journal, and their encoding.

`encode` and `decode` convert an event to a frame payload and back. `trajectories/` interprets the
events.

Large or repeated content (messages, tool lists, parameters) is not inside an event: it is a blob,
JSON bytes in the key order of their source, named by their hash, and the event holds the name
(`Ref`). The journal stores each blob once per segment. Journals of early versions hold sorted keys.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from burnish.errors import UnreadableEvent

BESIDE = "beside_"
"""Prefix of the kind of a loss outside model input: in a state, an artifact or metadata."""
Ref = bytes
"""Name of a blob: the first 16 bytes of the BLAKE2b hash of its JSON bytes."""
_LAST_NS = 2**63 - 1
Time = Annotated[int, msgspec.Meta(ge=-_LAST_NS, le=_LAST_NS)]
"""Nanoseconds since the epoch; signed 64-bit integers in the index and in archived tables."""


def ref_of(blob: bytes) -> Ref:
    """Return the name of a blob."""
    return hashlib.blake2b(blob, digest_size=16).digest()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="k"):
    """Base of all events. `at` is the time of the event.

    The fields of an event never refer to the event, so the garbage collector does not track it.
    """

    at: Time
    redacted: bool = False  # a value was redacted before the event was written


class RunStarted(Event, frozen=True, tag="R"):
    """An agent was invoked: a new trajectory, or a resumed one (`resumed`)."""

    trajectory: str  # 32 hex digits
    span: str  # 16 hex digits
    trace: str  # 32 hex digits
    agent: str
    parent: str | None = None  # span id of an active OpenTelemetry span
    thread_id: str | None = None
    user: str | None = None
    task_id: str | None = None  # as given by burnish.task
    attempt: int = 1
    source: str = "production"
    environment: str | None = None
    mode: str = "exploit"
    resumed: bool = False
    tags: list[str] = []
    metadata: Ref | None = None
    input: Ref | None = None
    entry: str | None = None  # invoke, stream, astream, ... of what type
    operation: str = "invoke_agent"  # or "invoke_workflow", if no model chooses the path


class RunEnded(Event, frozen=True, tag="r"):
    """The invocation ended."""

    trajectory: str
    span: str
    status: str  # a TrajectoryStatus
    answer: str | None = None
    output: Ref | None = None
    error_type: str | None = None
    error: str | None = None
    losses: dict[str, int] = {}
    interrupts: list[str] = []  # ids of the interrupts that the run waits for


class NodeStarted(Event, frozen=True, tag="N"):
    """A node of a graph, or another runnable between the agent and its calls, started."""

    trajectory: str
    span: str
    parent: str | None
    name: str
    node: str | None = None
    step: int | None = None
    namespace: str | None = None
    attempt: int = 1
    speaker: str | None = None


class NodeEnded(Event, frozen=True, tag="n"):
    """A node ended; `bubbled` names a control-flow exception (interrupt, hand-off)."""

    trajectory: str
    span: str
    error_type: str | None = None
    error: str | None = None
    bubbled: str | None = None
    cut: bool = False  # closed because its parent ended


class ModelStarted(Event, frozen=True, tag="M"):
    """A chat model was called; the request is complete before the model runs."""

    trajectory: str
    span: str
    parent: str | None
    messages: list[Ref]
    before: Ref | None = None  # only in the journal: the link with the messages before these
    tools: Ref | None = None
    request: Ref | None = None  # tool_choice, response_format, sampling, provider parameters
    model: str | None = None
    provider: str | None = None
    adapter: str | None = None
    arm: str | None = None
    node: str | None = None
    step: int | None = None
    namespace: str | None = None
    speaker: str | None = None
    attempt: int = 1
    run_id: bytes | None = None  # LangChain's UUID, for joining with other tools
    extras: Ref | None = None  # metadata, tags
    prompt: str | None = (
        None  # prompt version that burnish.prompt gave; None is the agent's own text
    )


class ModelEnded(Event, frozen=True, tag="m"):
    """The model answered, failed or was cut off."""

    trajectory: str
    span: str
    reply: Ref | None = None
    adapter: str | None = None  # the version that answered, as the server reports it
    arm: str | None = None
    rollout: str | None = None  # the phase of a rollout that assigned the arm, and the share then
    share: float | None = None
    model: str | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    usage: dict[str, int] | None = None
    prompt_token_ids: list[int] | None = None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    sampled: bool = True
    first_token_at: int | None = None
    error_type: str | None = None
    error: str | None = None
    cut: bool = False
    extras: Ref | None = None  # response metadata, raw arguments, partial output


class ToolStarted(Event, frozen=True, tag="T"):
    """A tool call, retrieval or memory access started; `operation` names the type."""

    trajectory: str
    span: str
    parent: str | None
    name: str
    call_id: str | None = None
    arguments: Ref | None = None
    raw_arguments: str | None = None
    node: str | None = None
    step: int | None = None
    namespace: str | None = None
    speaker: str | None = None
    attempt: int = 1
    run_id: bytes | None = None
    extras: Ref | None = None
    operation: str = "execute_tool"  # or "retrieval", "search_memory", "upsert_memory", ...


class ToolEnded(Event, frozen=True, tag="t"):
    """A tool returned or raised."""

    trajectory: str
    span: str
    result: Ref | None = None  # {"response": ..., "artifact"?: ..., "status"?: ...}
    is_error: bool = False
    error_type: str | None = None
    error: str | None = None
    bubbled: str | None = None
    cut: bool = False


class OutcomeReported(Event, frozen=True, tag="O"):
    """An outcome was reported from outside the run, for a trajectory or for a thread."""

    source: str
    trajectory: str | None = None
    thread_id: str | None = None
    success: bool | None = None
    score: float | None = None
    label: str | None = None
    evidence: Ref | None = None
    scope: str = "last"
    origin: str = "own"  # an Origin


class VerdictGiven(Event, frozen=True, tag="V"):
    """A verifier gave a verdict."""

    trajectory: str
    verifier: str
    version: str
    label: str
    score: float | None = None
    evidence: Ref | None = None
    cost_usd: float | None = None
    origin: str = "own"  # an Origin


class StateRecorded(Event, frozen=True, tag="S"):
    """The state of the environment at the end of an attempt was recorded."""

    trajectory: str
    state: Ref
    origin: str = "own"  # an Origin


class Dropped(Event, frozen=True, tag="D"):
    """Content that capture could not keep, counted by kind."""

    counts: dict[str, int]
    trajectory: str | None = None


class SpanReceived(Event, frozen=True, tag="X"):
    """A complete span was received from another process."""

    trajectory: str | None
    span: str
    trace: str
    kind: str  # a SpanKind
    name: str
    parent: str | None = None
    ended: Time | None = None
    state: str = "unset"  # unset, ok or error
    plain: dict[str, Any] = {}  # attributes that are short
    contents: dict[str, Ref] = {}  # attributes that are blobs
    lists: dict[str, list[Ref]] = {}  # attributes that are lists of blobs: messages
    # fields of a run or an outcome that the index reads
    agent: str = ""
    thread_id: str | None = None
    user: str | None = None
    source: str = "production"
    status: str = ""
    resumed: bool = False
    losses: dict[str, int] = {}


AnyEvent = (
    RunStarted
    | RunEnded
    | NodeStarted
    | NodeEnded
    | ModelStarted
    | ModelEnded
    | ToolStarted
    | ToolEnded
    | OutcomeReported
    | VerdictGiven
    | StateRecorded
    | Dropped
    | SpanReceived
)


class Brief(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The fields of any event that an index needs; decodes faster than the whole event."""

    k: str  # the tag
    at: Time
    trajectory: str | None = None
    span: str | None = None
    agent: str = ""
    thread_id: str | None = None
    user: str | None = None
    source: str = "production"
    resumed: bool = False
    status: str = ""
    kind: str = ""
    ended: int | None = None
    losses: dict[str, int] = {}
    counts: dict[str, int] = {}


UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, TypeError)
"""Errors that decoding the bytes of a foreign or damaged event may raise."""

_INDEXED = frozenset("RrOX")  # tags of the events that make rows of the index
_ENCODER = msgspec.msgpack.Encoder()
_BRIEF_DECODER = msgspec.msgpack.Decoder(Brief)
_DECODER: msgspec.msgpack.Decoder[AnyEvent] = msgspec.msgpack.Decoder(AnyEvent)
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
_encode_ordered = msgspec.json.Encoder().encode
_JSON_DECODER = msgspec.json.Decoder()


_encode_one, _decode_one = _ENCODER.encode, _DECODER.decode


def encode(event: AnyEvent) -> bytes:
    """Encode an event as the payload of a frame: MessagePack, or JSON if a string is not Unicode.

    The payload is decoded again before it is returned, because structs do not check their fields:
    an event that readers cannot decode must not be acknowledged.

    Raises:
        UnreadableEvent: If a field holds a value of a wrong type.
    """
    try:
        try:
            payload = _ENCODER.encode(event)
        except (UnicodeEncodeError, OverflowError):
            payload = _exact_json(msgspec.to_builtins(event))
        decode(payload)
    except (TypeError, ValueError, RecursionError) as problem:
        raise UnreadableEvent(
            f"{type(event).__name__} cannot be read back: {problem}", "values of the declared types"
        ) from problem
    return payload


def encode_all(events: Sequence[AnyEvent]) -> list[bytes]:
    """Encode several events as `encode` does: all of them or none.

    Raises:
        UnreadableEvent: If a field of one holds a value of a wrong type.
    """
    try:
        payloads = [*map(_encode_one, events)]
        list(map(_decode_one, payloads))  # in C: this runs for each event of each agent
    except (TypeError, ValueError, RecursionError, OverflowError):
        return [*map(encode, events)]  # raises with the event's name, or finds another encoding
    return payloads


def decode(payload: bytes | memoryview) -> AnyEvent:
    """Decode the event of a frame payload.

    Raises:
        msgspec.DecodeError: If the payload is not an event of this version, or its time is beyond
            64 bits.
    """
    if payload[:1] == b"{":
        return msgspec.convert(json.loads(bytes(payload)), AnyEvent)
    return _DECODER.decode(payload)


def decode_brief(payload: bytes | memoryview) -> Brief:
    """Decode the fields of a frame payload that an index needs.

    Events that make a row of the index are decoded in full, so that the index has no row for an
    event that cannot be read.

    Raises:
        msgspec.DecodeError: If the payload is not an event, or its time is beyond 64 bits.
    """
    if payload[:1] == b"{":
        brief = msgspec.convert(json.loads(bytes(payload)), Brief)
    else:
        brief = _BRIEF_DECODER.decode(payload)
    if brief.k in _INDEXED:
        decode(payload)
    return brief


def canonical(value: Any) -> bytes:
    """Encode plain data as canonical JSON for hashes and comparisons.

    Keys are sorted, there are no spaces, and the text is UTF-8. NaN, the infinities and lone
    surrogates are kept: such a value is written with every character above ASCII escaped, and
    `NaN`, `Infinity`, `-Infinity` as Python's own json writes them.
    """
    try:
        blob = _encode_sorted(value)
        if b"null" not in blob or not _holds_non_finite(value):  # msgspec writes NaN as null
            return blob
    except (UnicodeEncodeError, OverflowError):
        pass
    return _exact_json(value)


def ordered_json(value: Any) -> bytes:
    """Encode plain data as JSON in the given key order; for content.

    A model reads arguments and schemas in the order in which they were written, so stored content
    keeps that order. Other rules are those of `canonical`.
    """
    try:
        blob = _encode_ordered(value)
        if b"null" not in blob or not _holds_non_finite(value):  # msgspec writes NaN as null
            return blob
    except (UnicodeEncodeError, OverflowError):
        pass
    return _exact_json(value, sort_keys=False)


def ascii_json(value: Any) -> str:
    """Encode as `ordered_json`, as text with every character above ASCII escaped."""
    blob = ordered_json(value)
    if blob.isascii():
        return blob.decode("ascii")
    return _exact_json(value, sort_keys=False).decode("ascii")


def from_json(blob: bytes | str) -> Any:
    """Decode such JSON, with integers of any size, NaN and lone surrogates."""
    try:
        return _JSON_DECODER.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, UnicodeEncodeError):
        return json.loads(blob)


def _exact_json(value: Any, *, sort_keys: bool = True) -> bytes:
    plain = msgspec.to_builtins(value, str_keys=True)
    return json.dumps(plain, sort_keys=sort_keys, separators=(",", ":")).encode("ascii")


def _holds_non_finite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_holds_non_finite(item) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_non_finite(item) for item in value)
    return isinstance(value, msgspec.Struct) and _holds_non_finite(msgspec.to_builtins(value))
