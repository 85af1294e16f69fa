"""Encode each message, tool list and parameter set of a trajectory once, named by its hash.

`Content` recognises messages that it has encoded before; `message_codec` defines the form.

How it works: a message is recognised by a fingerprint of all its fields, computed for each call, so
a changed message is encoded again. A long text is its own fingerprint: it is immutable, and equal
texts are mostly the same object. Most calls send the messages of the previous call and a few more:
their fingerprints are compared at once. If a message is too heavy for that, the messages of its
trajectory are looked up by identity, and only their mutable parts are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from burnish.capture.content.jsonable import Losses, plain_bytes, to_plain
from burnish.capture.content.message_codec import encode_for_storage
from burnish.capture.content.prompt_cache import Recurring
from burnish.capture.content.redaction_guard import Guarded
from burnish.capture.content.request_parameters import read_request
from burnish.journal.content_sharing import LONG_TEXT, Spliced
from burnish.journal.events import BESIDE, Ref, ordered_json, ref_of

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_LONG = 1024  # from this length on, comparing a text is cheaper than reading it
_CHANGED = 256  # requests and prompts that one run caches
_M = TypeVar("_M")
_TEXTS = 64
_READ = frozenset({"role", "parts", "response", "name"})
_TOKENS = ("prompt_token_ids", "token_ids", "logprobs")
_packed = msgspec.msgpack.Encoder().encode  # distinguishes 1, 1.0 and True, which == does not
_fields_of = attrgetter("__dict__")
_extra_of = attrgetter("__pydantic_extra__")
_content_of = itemgetter("content")
_UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)

Blobs = dict[Ref, bytes]
"""JSON bytes by name."""
Print = bytes | tuple[str, bytes]
"""Fingerprint of a message or a request: all its fields, with long texts separate."""


_Sent = tuple[list[Print], list[Ref], Blobs]
"""The messages of a call: a fingerprint and a name of each, and the bytes behind them."""


class Asked(NamedTuple):
    """The other parts of a call: names of tools and parameters, their bytes, and the model."""

    tools: Ref | None
    parameters: Ref | None
    blobs: Blobs
    model: str | None


_requests: Recurring[Asked] = Recurring()
_prompts: Recurring[tuple[Ref, bytes]] = Recurring()


class Content:
    """The contents that one trajectory has encoded so far."""

    __slots__ = ("_held", "_known", "_last", "_own", "_texts", "cleaned", "door", "losses")

    def __init__(self, losses: Losses, door: Guarded | None = None) -> None:
        self.losses = losses
        self.door = door
        self.cleaned: set[Ref] = set()  # names of redacted contents
        self._known: dict[Print, tuple[Ref, bytes]] = {}  # messages by their fingerprints
        self._held: dict[int, tuple[BaseMessage, Any, Ref, bytes]] = {}  # heavy messages
        self._last: _Sent | None = ([], [], {})  # None once a message is too heavy to compare
        self._own: dict[Print, Any] = {}  # recurring values that this run changed
        self._texts: dict[str, tuple[Ref, bytes]] = {}  # long texts, which recur in messages

    def message(self, message: BaseMessage) -> tuple[Ref, bytes]:
        """Return name and bytes of a message."""
        prints = None if self._last is None else _prints_of((message,))
        if prints is None:
            return self._held_of(message)
        return self._known.get(prints[0]) or self._fresh(message, prints[0])

    def messages(self, messages: Sequence[BaseMessage]) -> tuple[list[Ref], Blobs]:
        """Return names of messages in order, and the bytes behind them; neither may be changed."""
        last = self._last
        prints = None if last is None else _prints_of(messages)
        if last is None or prints is None:
            self._last = None
            named = list(map(self._held_of, messages))
            return [ref for ref, _ in named], dict(named)
        before, refs, blobs = last
        count = len(before)
        if prints[:count] == before:
            refs, blobs = refs.copy(), blobs.copy()
        else:
            count, refs, blobs = 0, [], {}
        known = self._known
        for place in range(count, len(prints)):
            print_ = prints[place]
            ref, blobs[ref] = known.get(print_) or self._fresh(messages[place], print_)
            refs.append(ref)
        if self._last is not None:
            self._last = (prints, refs, blobs)
        return refs, blobs

    def _fresh(self, message: BaseMessage, print_: Print) -> tuple[Ref, bytes]:
        """Return name and bytes of a message that this run has not sent before."""
        fields = message.__dict__
        if _is_heavy(fields):
            self._last = None
            return self._held_of(message)
        if fields["type"] == "system":
            made = self._recalled(_prompts, print_, message, self._encoded)
        else:
            made = self.sharing(encode_for_storage(message))
        self._known[print_] = made
        return made

    def _held_of(self, message: BaseMessage) -> tuple[Ref, bytes]:
        """Return name and bytes of a message that is recognised by identity, not by a fingerprint."""
        held = self._held.get(id(message))
        fingerprint = _fingerprint_of(message)
        if held is not None and fingerprint is not None and held[1] == fingerprint:
            return held[2], held[3]
        ref, blob = self._encoded(message)
        if fingerprint is not None:
            # The cache holds the message, so that its id is not reused.
            self._held[id(message)] = (message, fingerprint, ref, blob)
        return ref, blob

    def _encoded(self, message: BaseMessage) -> tuple[Ref, bytes]:
        return self.sharing(encode_for_storage(message))

    def value(self, value: Any) -> tuple[Ref, bytes]:
        """Return name and bytes of a value outside the conversation, such as a final state.

        Its losses are counted separately: the conversation is complete without it.
        """
        if self.door is None:
            try:
                blob = ordered_json(value)
                return ref_of(blob), blob
            except (TypeError, RecursionError, ValueError):
                pass  # it is not plain data
        lost: Losses = {}
        named = self._value(value, lost)
        if lost:
            self._count_beside(lost)
        return named

    def seen(self, value: Any) -> tuple[Ref, bytes]:
        """Return name and bytes of a value that a model received, such as tools and parameters."""
        return self._value(value, self.losses)

    def _value(self, value: Any, losses: Losses) -> tuple[Ref, bytes]:
        if self.door is not None:
            return self._named(*self._cleaned(to_plain(value, losses), self.door))
        blob = plain_bytes(value, losses)
        return ref_of(blob), blob

    def _count_beside(self, lost: Losses) -> None:
        for kind, count in lost.items():
            self.losses[f"{BESIDE}{kind}"] = self.losses.get(f"{BESIDE}{kind}", 0) + count

    def _message_or_result(self, value: dict[str, Any]) -> Any:
        """Convert a message or result to plain data.

        Only losses of model-visible parts count as losses of the conversation.
        """
        beside: Losses = {}
        plain = {
            key: to_plain(item, self.losses if key in _READ else beside)
            for key, item in value.items()
        }
        self._count_beside(beside)
        return plain

    def encoded(self, messages: Sequence[Any]) -> tuple[list[Ref], Blobs]:
        """Return names of messages in the records' form, in order, and the bytes behind them."""
        named = list(map(self.sharing, messages))
        return [ref for ref, _ in named], dict(named)

    def sharing(self, value: dict[str, Any]) -> tuple[Ref, bytes]:
        """Return as `value` for a message or a tool's result; a long text in it is stored once."""
        kept = value
        if self.door is None:
            try:
                blob = ordered_json(value)
            except (TypeError, RecursionError, ValueError):
                kept = self._message_or_result(value)
                blob = ordered_json(kept)
            ref = ref_of(blob)
        else:
            given, kept = self._cleaned(self._message_or_result(value), self.door)
            ref, blob = self._named(given, kept)
        if len(blob) <= LONG_TEXT:
            return ref, blob
        text = _long_text(kept)
        if text is None:
            return ref, blob
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            inner = plain_bytes(text)
            known = self._texts[text] = (ref_of(inner), inner)
        return ref, Spliced.of(blob, known[1], known[0])

    def _cleaned(self, given: Any, door: Guarded) -> tuple[Any, Any]:
        return given, door.value(given)

    def _named(self, given: Any, kept: Any) -> tuple[Ref, bytes]:
        blob = plain_bytes(kept, self.losses)
        ref = ref_of(blob)
        if kept is not given and kept != given:
            self.cleaned.add(ref)
        return ref, blob

    def forget(self) -> None:
        """Drop all cached values after the end of the trajectory."""
        self._known.clear()
        self._held.clear()
        self._last = None
        self._texts.clear()
        self._own.clear()

    def redacted(self, blobs: Collection[Ref]) -> bool:
        """Return whether any of these was redacted."""
        return bool(self.cleaned) and not self.cleaned.isdisjoint(blobs)

    def request(self, params: Mapping[str, Any]) -> Asked:
        """Return names and bytes of the tools and parameters of a call, and the model's name."""
        try:
            key = _packed(params)
        except _UNPACKABLE:
            return self._asked(params)
        return self._recalled(_requests, key, params, self._asked)

    def _asked(self, params: Mapping[str, Any]) -> Asked:
        request = read_request(params)
        named = [self.seen(part) if part else None for part in (request.tools, request.parameters)]
        tools, parameters = (None if one is None else one[0] for one in named)
        return Asked(tools, parameters, dict(filter(None, named)), request.model)

    def _recalled(
        self, recurring: Recurring[_M], key: Print, given: Any, make: Callable[[Any], _M]
    ) -> _M:
        """Return the cached encoding of a value, or make it.

        Redacted or lossy ones are cached per run.
        """
        made = recurring.get(key) if self.door is None else None
        if made is None:
            made = self._own.get(key)
        if made is not None:
            return made
        lost = sum(self.losses.values())
        made = make(given)
        if self.door is None and sum(self.losses.values()) == lost:
            recurring.keep(key, made)
        else:
            if len(self._own) >= _CHANGED:
                self._own.clear()
            self._own[key] = made
        return made


def _is_heavy(fields: Mapping[str, Any]) -> bool:
    """Return whether reading all of a message again for each call would cost too much."""
    if type(fields["content"]) is not str or fields.get("artifact") is not None:
        return True
    metadata = fields["response_metadata"]
    if not metadata:
        return False
    measured = metadata.get("burnish")
    return bool(measured) and any(map(measured.get, _TOKENS))


def _long_text(stored: dict[str, Any]) -> str | None:
    """Return the long text of a message or a tool's result, None without one."""
    for part in stored.get("parts") or (stored,):
        text = part.get("response") or part.get("content")
        if type(text) is str and len(text) >= LONG_TEXT:
            return text
    return None


def _prints_of(messages: Sequence[BaseMessage]) -> list[Print] | None:
    """Return fingerprints of all messages; None if one holds a value without a JSON form."""
    if any(map(_extra_of, messages)):
        return None
    each = list(map(_fields_of, messages))
    try:
        if max(map(len, map(_content_of, each)), default=0) < _LONG:
            return list(map(_packed, each))
        return [
            (text, _packed({**fields, "content": None}))
            if type(text := fields["content"]) is str and len(text) >= _LONG
            else _packed(fields)
            for fields in each
        ]
    except _UNPACKABLE:
        return None


def _fingerprint_of(message: BaseMessage) -> Any:
    """Return a value that changes with a heavy message, or None if no cheap one exists."""
    fields: Any = message.__dict__
    content = fields["content"]
    metadata = fields["response_metadata"]
    try:
        if metadata and "burnish" in metadata:
            metadata = {key: value for key, value in metadata.items() if key != "burnish"}
        rest = {
            key: value
            for key, value in fields.items()
            if key not in ("content", "response_metadata", "artifact")
        }
        held = content if type(content) is str else _packed(content)
        extra = message.__pydantic_extra__
        return held, _packed((rest, metadata, extra)), id(fields.get("artifact"))
    except _UNPACKABLE:
        return None
