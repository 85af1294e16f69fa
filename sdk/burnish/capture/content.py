"""Each message, tool list and parameter set of a trajectory is encoded once and named by its hash.

Knows: how to tell that a message is still the one that was encoded. Does not know: the form of
messages (messages.py), who stores the bytes.

A message is looked up by identity and compared with the fingerprint taken when it was encoded, so
one that was changed in between is encoded again. Most calls send what the call before sent and a
little more: their fingerprints are taken and compared in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from burnish.capture.messages import encode_for_storage
from burnish.capture.plain import Losses, plain_bytes, to_plain
from burnish.capture.redaction import Guarded
from burnish.journal.events import Ref, ref_of
from burnish.journal.sharing import LONG_TEXT, Spliced

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_LONG = 4096
_PARAMETER_SETS = 256
_TEXTS = 64
_TOKENS = ("prompt_token_ids", "token_ids", "logprobs")
_packed = msgspec.msgpack.Encoder().encode  # tells 1, 1.0 and True apart, which == does not
_fields_of = attrgetter("__dict__")
_UNPACKABLE = (TypeError, ValueError, OverflowError, RecursionError)

Blobs = dict[Ref, bytes]
"""Canonical JSON bytes by name."""


class _Sent(NamedTuple):
    """The messages of a call: a fingerprint and a name of each, and the bytes behind them."""

    prints: list[bytes]
    refs: list[Ref]
    blobs: Blobs


class Content:
    """What one trajectory has encoded so far."""

    __slots__ = ("_last", "_messages", "_sets", "_texts", "cleaned", "door", "losses")

    def __init__(self, losses: Losses, door: Guarded | None = None) -> None:
        self.losses = losses
        self.door = door
        self.cleaned: set[Ref] = set()  # names of what is not as it was given
        self._messages: dict[int, tuple[BaseMessage, Any, Ref, bytes]] = {}
        self._last: _Sent | None = _Sent([], [], {})  # None once one is too heavy to compare
        self._sets: dict[bytes, Any] = {}
        self._texts: dict[str, tuple[Ref, bytes]] = {}  # long texts: they come again in messages

    def message(self, message: BaseMessage) -> tuple[Ref, bytes]:
        """Name and bytes of a message."""
        known = self._messages.get(id(message))
        fingerprint = _fingerprint(message)
        if known is not None and fingerprint is not None and known[1] == fingerprint:
            return known[2], known[3]
        ref, blob = self.sharing(encode_for_storage(message))
        if fingerprint is not None:
            # The message is held, so that its id cannot become another's.
            self._messages[id(message)] = (message, fingerprint, ref, blob)
        return ref, blob

    def messages(self, messages: Sequence[BaseMessage]) -> tuple[list[Ref], Blobs]:
        """Names of messages in order, and the bytes behind them."""
        last = self._last
        if last is None:
            return self._each(messages, [], {})
        try:
            prints = list(map(_packed, map(_fields_of, messages)))
        except _UNPACKABLE:
            self._last = None
            return self._each(messages, [], {})
        if prints[: len(last.prints)] == last.prints:
            messages = messages[len(last.prints) :]
            refs, blobs = self._each(messages, last.refs.copy(), last.blobs.copy())
        else:
            refs, blobs = self._each(messages, [], {})
        heavy = any(map(_is_heavy, messages))
        self._last = None if heavy else _Sent(prints, refs, blobs)
        return refs.copy(), blobs.copy()

    def _each(
        self, messages: Iterable[BaseMessage], refs: list[Ref], blobs: Blobs
    ) -> tuple[list[Ref], Blobs]:
        known = self._messages.get
        for message in messages:
            held = known(id(message))
            if held is None or held[1] != _fingerprint(message):
                ref, blob = self.message(message)
            else:
                _, _, ref, blob = held
            refs.append(ref)
            blobs[ref] = blob
        return refs, blobs

    def value(self, value: Any) -> tuple[Ref, bytes]:
        """Name and bytes of any value."""
        if self.door is not None:
            return self._named(*self._cleaned(value, self.door))
        blob = plain_bytes(value, self.losses)
        return ref_of(blob), blob

    def sharing(self, value: dict[str, Any]) -> tuple[Ref, bytes]:
        """As `value`, for a message or a tool's result: a long text in it is stored once for all."""
        given = kept = value
        if self.door is not None:
            given, kept = self._cleaned(value, self.door)
        ref, blob = self._named(given, kept)
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

    def _cleaned(self, value: Any, door: Guarded) -> tuple[Any, Any]:
        given = to_plain(value, self.losses)
        return given, door.value(given)

    def _named(self, given: Any, kept: Any) -> tuple[Ref, bytes]:
        blob = plain_bytes(kept, self.losses)
        ref = ref_of(blob)
        if kept is not given and kept != given:
            self.cleaned.add(ref)
        return ref, blob

    def forget(self) -> None:
        """Let go of everything, once the trajectory is over."""
        self._messages.clear()
        self._last = None
        self._texts.clear()
        self._sets.clear()

    def redacted(self, blobs: Blobs) -> bool:
        """Whether any of these is not as it was given."""
        return bool(self.cleaned) and not self.cleaned.isdisjoint(blobs)

    def text(self, text: str | None) -> str | None:
        """A text that an event carries itself, as it may be kept."""
        return text if self.door is None else self.door.text(text)

    def once(self, value: Mapping[str, Any], make: Callable[[Any], Any]) -> Any:
        """`make(value)`, remembered for values that are equal to the last byte."""
        try:
            key = _packed(value)
        except _UNPACKABLE:
            return make(value)
        made = self._sets.get(key)
        if made is None:
            if len(self._sets) >= _PARAMETER_SETS:
                self._sets.clear()
            made = self._sets[key] = make(value)
        return made


def _is_heavy(message: BaseMessage) -> bool:
    """Whether reading all of a message again for each call would cost too much."""
    fields = message.__dict__
    content = fields["content"]
    if type(content) is not str or len(content) >= _LONG or fields.get("artifact") is not None:
        return True
    metadata = fields["response_metadata"]
    return bool(metadata) and any(map(metadata.get("burnish", {}).get, _TOKENS))


def _long_text(stored: dict[str, Any]) -> str | None:
    """The long text of a message or a tool's result, None where there is none."""
    for part in stored.get("parts") or (stored,):
        text = part.get("response") or part.get("content")
        if type(text) is str and len(text) >= LONG_TEXT:
            return text
    return None


def _fingerprint(message: BaseMessage) -> Any:
    """Something that changes when the message does, or None where nothing cheap can tell."""
    fields: Any = message.__dict__
    content = fields["content"]
    metadata = fields["response_metadata"]
    try:
        if metadata and "burnish" in metadata:
            metadata = {key: value for key, value in metadata.items() if key != "burnish"}
        elif type(content) is str and len(content) < _LONG and fields.get("artifact") is None:
            return _packed(fields)
        rest = {
            key: value
            for key, value in fields.items()
            if key not in ("content", "response_metadata", "artifact")
        }
        held = content if type(content) is str else _packed(content)
        return held, _packed((rest, metadata)), id(fields.get("artifact"))
    except _UNPACKABLE:
        return None
