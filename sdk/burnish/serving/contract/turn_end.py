"""Find the mark with which a chat template ends an assistant's turn, at which a model must stop.

The tokenizer's own end mark often differs (Gemma ends turns with `<end_of_turn>`, Phi 3 with
`<|end|>`). The mark is found by comparing the rendered text after a reply at the end of a
conversation and before its next message. Models without such a mark (GLM) stop where the next turn
begins.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from burnish.records import Json
from burnish.serving.contract.template_form import ChatMessage

Print = Callable[[Sequence[ChatMessage], Sequence[Json]], str | None]
"""Renders a whole conversation; returns None if the template refuses it."""

TEXT_REPLY: ChatMessage = {"role": "assistant", "content": "Zqreply"}
CALL_REPLY: ChatMessage = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "Zqname", "arguments": {"k": "Zqreply"}},
        }
    ],
}
_QUESTION: ChatMessage = {"role": "user", "content": "Zqquestion"}


@dataclasses.dataclass(frozen=True, slots=True)
class TurnEnd:
    """The end of a turn of one structure.

    Attributes:
        mark: The end mark; empty if neither template nor tokenizer has one.
        printed: The rendered text from the mark on; empty if the turn itself does not print it.
    """

    mark: str
    printed: str


@dataclasses.dataclass(frozen=True)
class TurnMarks:
    """The marks of a tokenizer.

    Attributes:
        eos: The text of its end mark.
        ends: Texts of all marks that end a generation.
        pattern: Finds any mark, the longest first.
    """

    eos: str
    ends: frozenset[str]
    pattern: re.Pattern[str]


def read_marks(tokenizer: Any, end_ids: frozenset[int] = frozenset()) -> TurnMarks:
    """Collect the marks of a tokenizer, with every token that ends a generation."""
    eos = _text_of(tokenizer, tokenizer.eos_token_id)
    ends = frozenset({eos, *(_text_of(tokenizer, token) for token in end_ids)} - {""})
    added: Mapping[int, object] = getattr(tokenizer, "added_tokens_decoder", None) or {}
    marks = {*ends, *(str(token) for token in added.values())} - {""}
    ordered = sorted(marks, key=len, reverse=True)
    return TurnMarks(eos, ends, re.compile("|".join(map(re.escape, ordered)) or r"(?!)"))


def find_end_ids(tokenizer: Any, printed: Print, end_ids: frozenset[int]) -> frozenset[int]:
    """Find all tokens that end a turn: the given ones, and the template's for text and for calls."""
    marks = read_marks(tokenizer, end_ids)
    plain = find_turn_end(printed, [_QUESTION, TEXT_REPLY], (), ["Zqreply"], marks)
    called = find_turn_end(printed, [_QUESTION, CALL_REPLY], (), ["Zqreply"], marks, plain)
    found = set(end_ids)
    for end in (plain, called):
        ids = tokenizer(end.mark, add_special_tokens=False)["input_ids"] if end.mark else []
        found.update(ids if len(ids) == 1 else ())
    return frozenset(found)


def find_turn_end(
    printed: Print,
    messages: Sequence[ChatMessage],
    tools: Sequence[Json],
    words: Sequence[str],
    marks: TurnMarks,
    plain: TurnEnd | None = None,
) -> TurnEnd:
    """Find the end of the last turn of a conversation.

    Args:
        printed: Renders with the template.
        messages: The conversation, whose last message is the reply.
        tools: The offered tools.
        words: Words of the reply that occur nowhere else; the last one printed ends its content.
        marks: The marks of the tokenizer.
        plain: The end of a turn with text only; None while that one is searched.
    """
    whole = printed(messages, tools)
    if whole is None or not any(word in whole for word in words):
        return TurnEnd(marks.eos, "")
    at_end = _text_behind(whole, words)
    more = printed([*messages, *_following_messages(messages[-1])], tools)
    goes_on = at_end if more is None else _text_behind(more, words)
    common = os.path.commonprefix([at_end, goes_on])  # noqa: RUF071 - on texts, not paths
    known = {*marks.ends, plain.mark} if plain else marks.ends
    shared = list(marks.pattern.finditer(common))
    own = [mark for mark in shared if mark.group() in known]
    if not own and (plain is None or plain.printed):
        own = shared  # a mark of the template that no configuration lists
    if own:
        return TurnEnd(own[-1].group(), at_end[own[-1].start() :])
    following = marks.pattern.match(goes_on, len(common))
    if following and not at_end[len(common) :].strip():
        return TurnEnd(following.group(), "")
    ends = [mark for mark in marks.pattern.finditer(at_end) if mark.group() in known]
    return TurnEnd(ends[0].group(), at_end[ends[0].start() :]) if ends else TurnEnd(marks.eos, "")


def _text_behind(text: str, words: Sequence[str]) -> str:
    """Return the text after the last of some words, each at its first place.

    Templates that name a tool beside its result print the word of a call again.
    """
    return text[max(text.find(word) + len(word) for word in words if word in text) :]


def _following_messages(reply: ChatMessage) -> list[ChatMessage]:
    """Return messages that may follow a reply: results of its calls, or a question."""
    return [
        {
            "role": "tool",
            "tool_call_id": call.get("id") or "",
            "name": (call.get("function") or {}).get("name"),
            "content": "Zqnext",
        }
        for call in reply.get("tool_calls") or ()
    ] or [{"role": "user", "content": "Zqnext"}]


def _text_of(tokenizer: Any, token: int | None) -> str:
    if token is None:
        return ""
    try:
        return str(tokenizer.decode([token]))
    except (IndexError, OverflowError, TypeError, ValueError):
        return ""
