"""Check received spans against the declared type of every attribute.

`admit_span` is the entry. The rules:

- a span without valid ids, times, status or kind is refused;
- a `burnish.*` attribute of a wrong type refuses its span, and so does any attribute of a fact
  (an outcome, a verdict, a state), because labels depend on them;
- any other attribute of a wrong type moves to `burnish.invalid` and counts as the loss
  `invalid_attributes`: the rest of the span stays useful, and runs with losses are not trained on.

A span that passes can be stored, read and assembled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from burnish.errors import JournalCorrupt
from burnish.records import Json, Span
from burnish.telemetry import semconv as s

_INT64 = 2**63
_LONGEST_ID = 256
_DEEPEST = 200  # levels; capture cuts values at 120


class SpanRefused(JournalCorrupt):
    """A received span does not conform to the schema."""


class _AttributeType(NamedTuple):
    name: str
    holds: Callable[[Json], bool]
    convert: Callable[[Json], Json] | None = None


def admit_span(span: Span) -> Span:
    """Check a received span; return it without attributes of a wrong type.

    Raises:
        SpanRefused: If its ids, times, status or kind, a `burnish.*` attribute or a fact are wrong.
    """
    _check_frame(span)
    is_fact = span.kind == "fact"
    changed: dict[str, Json] = {}
    invalid: dict[str, Json] = {}
    for key, value in span.attributes.items():
        declared = ATTRIBUTES.get(key) or _find_type_by_prefix(key)
        converted = declared.convert(value) if declared.convert is not None else value
        if declared.holds(converted):
            if converted is not value:
                changed[key] = converted
        elif is_fact or key.startswith("burnish."):
            raise _refuse_span(
                span, f"{key} is {_format_value(value)}", f"{key} as {declared.name}"
            )
        else:
            invalid[key] = value if _is_shallow(value) else "nested too deeply"
    if is_fact:
        _check_fact(span)
    if not changed and not invalid:
        return span
    attributes = {**span.attributes, **changed}
    if invalid:
        attributes = {key: value for key, value in attributes.items() if key not in invalid}
        attributes[s.INVALID] = {**(attributes.get(s.INVALID) or {}), **invalid}
        count_loss(attributes, "invalid_attributes", len(invalid))
    return msgspec.structs.replace(span, attributes=attributes)


def count_loss(attributes: dict[str, Json], kind: str, count: int = 1) -> None:
    """Add to the losses that a span reports."""
    held = attributes.get(s.LOSSES)
    losses = dict(held) if isinstance(held, dict) else {}
    losses[kind] = losses.get(kind, 0) + count
    attributes[s.LOSSES] = losses


def _check_frame(span: Span) -> None:
    ids = ((span.trace_id, 32), (span.span_id, 16))
    if any(len(given) != length or not given.strip("0") for given, length in ids):
        raise _refuse_span(
            span, "its ids are missing or empty", "16 and 8 bytes that are not all zero"
        )
    if span.parent_id is not None and len(span.parent_id) != 16:
        raise _refuse_span(span, f"its parent is {span.parent_id[:40]}", "8 bytes, or none")
    times = (span.start_ns, span.end_ns or 0)
    if not all(0 <= moment < _INT64 for moment in times):
        raise _refuse_span(span, f"its times are {times}", "nanoseconds below 2^63")
    if span.kind not in _KINDS:
        raise _refuse_span(
            span, f"{s.KIND} is {_format_value(span.kind)}", f"one of {', '.join(_KINDS)}"
        )
    if span.status not in ("unset", "ok", "error"):
        raise _refuse_span(span, f"its status code is {_format_value(span.status)}", "0, 1 or 2")


def _check_fact(span: Span) -> None:
    get = span.attributes.get
    fact = get(s.FACT)
    if fact not in _FACTS:
        raise _refuse_span(
            span, f"{s.FACT} is {_format_value(fact)}", f"one of {', '.join(_FACTS)}"
        )
    subjects = (s.TRAJECTORY, s.CONVERSATION) if fact == "outcome" else (s.TRAJECTORY,)
    if fact != "losses" and not any(get(name) for name in subjects):
        raise _refuse_span(span, f"the {fact} has no subject", " or ".join(subjects))
    if fact in ("outcome", "verdict") and not get(s.EVALUATION_NAME):
        raise _refuse_span(span, f"the {fact} has no {s.EVALUATION_NAME}", "its source")


def _refuse_span(span: Span, found: str, expected: str) -> SpanRefused:
    return SpanRefused(
        f"span {span.name[:80]!r} is refused: {found}", expected, "correct the sender; see docs/spans.md"
    )  # fmt: skip


def _format_value(value: Json) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else ""
    return f"{type(value).__name__} {text[:60]}".strip()


# Types


def _is_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_flag(value: Json) -> bool:
    return isinstance(value, bool)


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def _is_count(value: Json) -> bool:
    """Check a count, which may exceed int64 because it travels as JSON and is not indexed."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_object(value: Json) -> bool:
    return isinstance(value, dict) and _is_shallow(value)


def _is_shallow(value: Json, deepest: int = _DEEPEST) -> bool:
    """Return True if nesting stays within `deepest` levels, so that no reader overflows its stack."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(deepest):
        if not level:
            return True
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item)
            if isinstance(inner, (dict, list))
        ]
    return not level


def _list_of(holds: Callable[[Json], bool]) -> Callable[[Json], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def _is_part(part: Json) -> bool:
    if not isinstance(part, dict):
        return False
    get = part.get
    texts = all(get(name) is None or isinstance(get(name), str) for name in ("type", "name", "id"))
    spoken = get("type") not in ("text", "reasoning") or isinstance(
        get("content"), (str, type(None))
    )
    return texts and spoken  # fmt: skip


def _is_message(message: Json) -> bool:
    """Check an object with role and parts; a message with withheld text has neither."""
    if not isinstance(message, dict):
        return False
    role, parts = message.get("role"), message.get("parts")
    named = role is None or isinstance(role, str)
    return named and (parts is None or (isinstance(parts, list) and all(map(_is_part, parts))))


def _is_list_of_messages(value: Json) -> bool:
    return isinstance(value, list) and all(map(_is_message, value)) and _is_shallow(value)


def _is_withheld(value: Json) -> bool:
    """Return True for the mark that redaction leaves for a value that it could not inspect."""
    return isinstance(value, dict) and "$withheld" in value


def _allow_withheld(
    name: str, holds: Callable[[Json], bool], convert: Any = None
) -> _AttributeType:
    return _AttributeType(name, lambda value: holds(value) or _is_withheld(value), convert)


def _one_of(*values: str) -> _AttributeType:
    return _AttributeType(f"one of {', '.join(values)}", lambda value: value in values if isinstance(value, str) else False)  # fmt: skip


def _to_identifier(value: Json) -> Json:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _to_list(value: Json) -> Json:
    return [value] if isinstance(value, str) else value


def _to_parts(value: Json) -> Json:
    """Convert system instructions given as one text to a list of parts."""
    return [{"type": "text", "content": value}] if isinstance(value, str) else value


_KINDS = ("agent", "model", "tool", "node", "fact")
_FACTS = ("outcome", "verdict", "state", "losses")
_STATUSES = ("completed", "failed", "interrupted", "cancelled", "abandoned", "running")

_ANYTHING = _AttributeType(f"a value of at most {_DEEPEST} levels", _is_shallow)
_TEXT = _AttributeType("a text", _is_text)
_ID = _AttributeType("a text", _is_text, _to_identifier)
_FLAG = _AttributeType("true or false", _is_flag)
_INTEGER = _AttributeType("an integer within 64 bits", _is_integer)
_COUNT = _AttributeType("a count of 0 or more", _is_count)
_NUMBER = _AttributeType("a number", _is_number)
_TEXTS = _AttributeType("a list of texts", _list_of(_is_text))
_OBJECT = _allow_withheld("an object", _is_object)
_MESSAGES = _allow_withheld("a list of objects with role and parts", _is_list_of_messages)
_OBJECTS = _allow_withheld(
    "a list of objects", lambda value: _list_of(_is_object)(value) and _is_shallow(value)
)
_LIST = _allow_withheld("a list", lambda value: isinstance(value, list) and _is_shallow(value))
_INTEGERS = _allow_withheld(
    "a list of integers", _list_of(lambda v: isinstance(v, int) and not isinstance(v, bool))
)
_NUMBERS = _allow_withheld("a list of numbers", _list_of(lambda v: v is None or _is_number(v)))
_COUNTS = _AttributeType(
    "an object of counts", lambda value: isinstance(value, dict) and all(map(_is_count, value.values()))
)  # fmt: skip

ATTRIBUTES: dict[str, _AttributeType] = {
    **dict.fromkeys(
        (s.OPERATION, s.PROVIDER, s.AGENT, s.REQUEST_MODEL, s.RESPONSE_MODEL, s.TOOL_NAME,
         s.TOOL_TYPE, s.TOOL_DESCRIPTION, s.WORKFLOW, s.RETRIEVAL_QUERY, s.MEMORY_STORE,
         s.MEMORY_QUERY, s.EVALUATION_NAME, s.LABEL, s.ERROR_TYPE, s.TASK, s.SOURCE,
         s.ENVIRONMENT, s.MODE, s.ENTRY, s.ANSWER, s.ERROR_MESSAGE, s.NODE, s.NAMESPACE,
         s.SPEAKER, s.BUBBLED, s.ADAPTER, s.ARM, s.ROLLOUT, s.PROMPT_VERSION, s.RAW_ARGUMENTS, s.VERIFIER_VERSION),
        _TEXT,
    ),
    **dict.fromkeys(
        (s.CONVERSATION, s.USER, s.TOOL_CALL_ID, s.RESPONSE_ID, s.MEMORY_RECORD), _ID
    ),
    **dict.fromkeys(
        (s.RESUMED, s.CUT, s.UNFINISHED, s.REDACTED, s.SAMPLED, s.IS_ERROR, s.SUCCESS), _FLAG
    ),
    **dict.fromkeys((s.ATTEMPT, s.STEP, s.MEMORY_COUNT), _INTEGER),
    **dict.fromkeys((*s.USAGE.values(), s.CACHE_CREATION), _COUNT),
    **dict.fromkeys((s.FIRST_CHUNK, s.SCORE, s.COST_USD, s.SHARE), _NUMBER),
    **dict.fromkeys((s.TAGS, s.INTERRUPTS), _TEXTS),
    **dict.fromkeys((s.METADATA, s.REQUEST, s.EXTRAS, s.INVALID), _OBJECT),
    **dict.fromkeys((s.INPUT_MESSAGES, s.OUTPUT_MESSAGES), _MESSAGES),
    **dict.fromkeys((s.RETRIEVAL_DOCUMENTS, s.MEMORY_RECORDS), _LIST),
    **dict.fromkeys((s.PROMPT_TOKEN_IDS, s.TOKEN_IDS), _INTEGERS),
    s.TRAJECTORY: _AttributeType(
        f"a text of 1 to {_LONGEST_ID} characters",
        lambda value: isinstance(value, str) and 0 < len(value) <= _LONGEST_ID,
    ),
    s.TOOL_DEFINITIONS: _OBJECTS,
    s.SYSTEM_INSTRUCTIONS: _allow_withheld(
        "a list of parts", lambda value: _list_of(_is_part)(value) and _is_shallow(value), _to_parts
    ),
    s.FINISH_REASONS: _AttributeType("a list of texts", _list_of(_is_text), _to_list),
    s.LOGPROBS: _NUMBERS,
    s.LOSSES: _COUNTS,
    s.STATUS: _one_of(*_STATUSES),
    s.SCOPE: _one_of("last", "thread"),
    s.FACT: _one_of(*_FACTS),
}  # fmt: skip
"""Declared type by attribute; an unlisted attribute may hold any value within the depth limit."""


def _find_type_by_prefix(key: str) -> _AttributeType:
    return _COUNT if key.startswith("burnish.usage.") else _ANYTHING
