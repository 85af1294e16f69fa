"""Find the format that a consumer with a given chat template should use.

How it works: each row is rendered with arguments as objects and as strings, whole and reply by
reply. A format fits a row if the text holds the row's content (calls, arguments as values, results,
tools) and if the text before each learned reply is what a server would have sent. Then training
uses the prompts of serving.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from burnish.records import Json
from burnish_exporters.formats.plain import Chat, Unfit, arguments_of
from burnish_exporters.formats.templates.rendering import ChatTemplate, TemplateError
from burnish_exporters.formats.trl.sft import chat_message

WAYS = {
    "trl-sft": (True, True),
    "trl-prompt-completion": (True, False),
    "trl-sft-strings": (False, True),
    "trl-prompt-completion-strings": (False, False),
}
"""Formats in order of preference: whether arguments are objects, and whether rows are whole."""


class TemplateCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of rendering a version's rows with a chat template.

    Attributes:
        rows: Rows that were rendered.
        fit: Rows that each format renders as served.
        problems: Reasons why the others do not fit, by format and reason.
        lost: Content that the template drops without an error, by kind; no format brings it back.
        format: The format to use; None where no row fits any.
        refused: Rows that do not fit that format.
    """

    rows: int
    fit: dict[str, int]
    problems: dict[str, dict[str, int]]
    lost: dict[str, int]
    format: str | None
    refused: int


def check_template(rows: Iterable[dict[str, Json]], template: ChatTemplate) -> TemplateCheck:
    """Render rows with a chat template and find the format that fits them best."""
    count = 0
    fit: Counter[str] = Counter()
    problems: dict[str, Counter[str]] = {name: Counter() for name in WAYS}
    lost: Counter[str] = Counter()
    for row in rows:
        count += 1
        left_out: set[str] = set()
        for name in WAYS:
            reason = problem_of(row, template, name, left_out)
            if reason is None:
                fit[name] += 1
            else:
                problems[name][reason] += 1
        lost.update(left_out)
    best = max(WAYS, key=lambda name: fit[name])  # of equals, the first
    return TemplateCheck(
        rows=count,
        fit={name: fit[name] for name in WAYS},
        problems={name: dict(found) for name, found in problems.items() if found},
        lost=dict(lost),
        format=best if fit[best] else None,
        refused=count - fit[best],
    )


def problem_of(
    row: dict[str, Json], template: ChatTemplate, name: str, lost: set[str] | None = None
) -> str | None:
    """Return why a row in a format does not reach the model as it was served; None if it does.

    Args:
        row: A row of a version.
        template: The chat template of the model to train.
        name: A format of `WAYS`.
        lost: Collects the content that the template drops.
    """
    objects, whole = WAYS[name]
    if whole and any(not row["messages"][place]["loss"] for place in _sample_row(row)):
        return "a reply that is not learned, which a whole conversation would teach"
    try:
        messages = [chat_message(message, objects=objects) for message in row["messages"]]
        text = template.render(messages, row["tools"])
        for place, message in enumerate(row["messages"]):
            if message["loss"]:
                asked = template.render(messages[:place], row["tools"], reply_next=True)
                said = text if whole else template.render(messages[: place + 1], row["tools"])
                if not said.startswith(asked):
                    return _make_marker(whole=whole)
        missing = _find_missing(row, template, objects=objects)
    except Unfit as reason:
        return str(reason)
    except TemplateError as reason:
        return f"the template refuses it: {reason}"
    if lost is not None:
        lost.update(missing)
    return f"the template leaves out {missing[0]}" if missing else None


def _make_marker(*, whole: bool) -> str:
    if whole:
        return "the whole conversation is not what was served before each reply"
    return "the text before the reply is not the prompt of the reply"


def _sample_row(row: dict[str, Json]) -> Iterator[int]:
    return (int(call["message"]) for call in row["calls"])


def _find_missing(row: dict[str, Json], template: ChatTemplate, *, objects: bool) -> list[str]:
    """Return the content that a template drops: each piece is replaced by a unique mark, which must be in the text."""
    marks = _Marks()
    tools = [marks.tool(tool) for tool in row["tools"]]
    messages = [marks.message(message) for message in row["messages"]]
    text = template.render([chat_message(m, objects=objects) for m in messages], tools)
    found = [kind for kind, mark in marks.given if mark not in text]
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    for call in calls:
        quoted = json.dumps(call["function"]["arguments"], ensure_ascii=False)
        if '"' in call["function"]["arguments"] and quoted in text:
            found.append("the arguments as values: they are quoted twice")
    return list(dict.fromkeys(found))


class _Marks:
    """Replaces names, values and texts by unique marks."""

    def __init__(self) -> None:
        self.given: list[tuple[str, str]] = []
        self._names: dict[str, str] = {}

    def tool(self, tool: dict[str, Any]) -> dict[str, Any]:
        function = tool["function"]
        return {**tool, "function": {**function, "name": self._name(function["name"], "the tools")}}

    def message(self, message: Chat) -> Chat:
        made, calls = dict(message), message.get("tool_calls")
        beside = f"the text beside a call of role {message['role']}"
        kind = beside if calls else f"a text of role {message['role']}"
        if isinstance(message["content"], str) and message["content"].strip():
            made["content"] = self._text(kind)
        if calls:
            made["tool_calls"] = [self._call(call) for call in calls]
        return made

    def _call(self, call: Chat) -> Chat:
        function = call["function"]
        arguments = json.dumps(self._value(arguments_of(call)), ensure_ascii=False)
        name = self._text("a call")
        return {**call, "function": {**function, "name": name, "arguments": arguments}}

    def _value(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {key: self._value(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner) for inner in value]
        if isinstance(value, str):
            return self._text("arguments of a call")
        if isinstance(value, bool) or value is None:
            return value
        return int(self._number())

    def _name(self, name: str, kind: str) -> str:
        if name not in self._names:
            self._names[name] = self._text(kind)
        return self._names[name]

    def _text(self, kind: str) -> str:
        mark = f"qz{len(self.given)}zq"
        self.given.append((kind, mark))
        return mark

    def _number(self) -> str:
        mark = f"7349{len(self.given):05}"
        self.given.append(("arguments of a call", mark))
        return mark
