"""Write ShareGPT's forms as LLaMA-Factory reads them: `conversations` of `from` and `value`, system and tools apart.

LLaMA-Factory (0.9.5) expects a turn of a user or of tools, then one of the model, and so on. A turn
`function_call` is JSON: one call, or a list of them; if the reply also has text, the JSON stands
between `<tool_call>` and `</tool_call>`. Reasoning comes first, between `<think>` and `</think>`.
Results of one turn are one observation, joined as LLaMA-Factory joins them. The form has no place
for ids and loss flags; a row that does not alternate is left out and counted. Preferences
(`ranking` of `dataset_info.json`) end with a turn of a user or of tools, and `chosen` and `rejected`
are one turn of the model each.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.contrast import StepPreferences
from burnish_exporters.formats.pairs import Pair
from burnish_exporters.formats.plain import Chat, Unfit, each_fit, object_of, only_text_of

_ASKED = ("human", "observation")
_JOINT = "\n</tool_response>\n<tool_response>\n"
_MARKS = re.compile(r"</?(?:think|tool_call)>")


@dataclass(frozen=True, kw_only=True)
class ShareGpt:
    """Conversations by speaker, system and tools apart."""

    name: str = "sharegpt"
    columns: list[str] = field(default_factory=lambda: ["conversations", "system", "tools"])
    kinds: dict[str, str] = field(default_factory=lambda: {"tools": "text"})
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as turns."""
        return each_fit(rows, _render_conversation, self.refused)

    def check(self, row: dict[str, Json]) -> None:
        """Check that turns alternate, end with the model, and that calls are JSON.

        Raises:
            ExportError: If LLaMA-Factory would skip the row or stop at it.
        """
        require(row, self.columns)
        _check_turns(row["conversations"])


class ShareGptDpo(StepPreferences):
    """Conversations with two replies of the model: one that is preferred to the other."""

    name = "sharegpt-dpo"
    columns: list[str] = ["conversations", "chosen", "rejected", "system", "tools"]  # noqa: RUF012
    kinds: dict[str, str] = {"chosen": "json", "rejected": "json", "tools": "text"}  # noqa: RUF012

    def render_pair(self, pair: Pair) -> dict[str, Json]:
        """Return the row of a pair.

        Raises:
            Unfit: If LLaMA-Factory would skip the row, or the form has no place for a content.
        """
        turns, system = _render_turns(pair.prompt)
        sides = [_render_turns([*pair.prompt, *said])[0] for said in (pair.chosen, pair.rejected)]
        if any(len(side) != len(turns) + 1 for side in sides):
            raise Unfit("a side that is not one reply")
        chosen, rejected = (side[-1] for side in sides)
        return {
            "conversations": turns,
            "chosen": chosen,
            "rejected": rejected,
            "system": system,
            "tools": _render_tools(pair.tools),
        }

    def check(self, row: dict[str, Json]) -> None:
        """Check that each side continues the conversation, and that the sides differ.

        Raises:
            ExportError: If LLaMA-Factory would skip the row or stop at it, or its sides are the same.
        """
        require(row, self.columns)
        for side in ("chosen", "rejected"):
            _check_turns([*row["conversations"], row[side]])
        if row["chosen"] == row["rejected"]:
            raise ExportError("a pair whose sides are the same", "two different replies")


def _check_turns(turns: list[Chat]) -> None:
    if not turns or len(turns) % 2:
        raise ExportError(f"a conversation of {len(turns)} turns", "pairs of turns")
    for place, turn in enumerate(turns):
        if (turn["from"] in _ASKED) != (place % 2 == 0):
            raise ExportError(f"turn {place} is by {turn['from']}", "turns that alternate")
        if turn["from"] == "function_call":
            _check_calls(turn["value"])


def _check_calls(value: str) -> None:
    _, opened, rest = value.partition("<tool_call>")
    inside, closed, _ = rest.partition("</tool_call>")
    text = inside if opened and closed else _without_thoughts(value)
    try:
        json.loads(text)
    except ValueError as problem:
        raise ExportError(f"a function_call is not JSON: {problem}", "calls as JSON") from None


def _without_thoughts(value: str) -> str:
    kept = []
    while value:
        before, opened, rest = value.partition("<think>")
        _, closed, after = rest.partition("</think>")
        kept.append(before if closed else value)
        value = after if opened and closed else ""
    return "".join(kept)


def _render_conversation(row: Chat) -> Chat:
    turns, system = _render_turns(row["messages"])
    return {"conversations": turns, "system": system, "tools": _render_tools(row["tools"])}


def _render_turns(messages: list[Chat]) -> tuple[list[Chat], str]:
    """Return the turns, which alternate, and the system message."""
    turns: list[Chat] = []
    system = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            if turns:
                raise Unfit("a system message after the first turn")
            system.append(only_text_of(message, "ShareGPT"))
        elif message["role"] == "tool" and turns and turns[-1]["from"] == "observation":
            turns[-1]["value"] += _JOINT + only_text_of(message, "ShareGPT")
        else:
            turns.append(_render_turn(message))
    if any((turn["from"] in _ASKED) != (place % 2 == 0) for place, turn in enumerate(turns)):
        raise Unfit("turns that do not alternate between asking and answering")
    return turns, "\n\n".join(system)


def _render_tools(tools: list[Json]) -> str:
    functions = [tool["function"] for tool in tools]
    return json.dumps(functions, ensure_ascii=False) if functions else ""


def _render_turn(message: Chat) -> Chat:
    text = only_text_of(message, "ShareGPT")
    if message["role"] == "user":
        return {"from": "human", "value": text}
    if message["role"] == "tool":
        return {"from": "observation", "value": text}
    thought = message.get("reasoning_content") or ""
    head = f"<think>\n{thought}\n</think>\n\n" if thought else ""
    calls = message.get("tool_calls") or []
    if not calls:
        return {"from": "gpt", "value": head + text}
    if _MARKS.search(text) or _MARKS.search(thought):
        raise Unfit("a text beside a call that holds the marks of calls or thoughts")
    said = [{"name": call["function"]["name"], "arguments": object_of(call)} for call in calls]
    value = json.dumps(said if len(said) > 1 else said[0], ensure_ascii=False)
    if _MARKS.search(value):
        value = value.replace(
            "<", "\\u003c"
        )  # LLaMA-Factory looks for the tags before it reads JSON
    if text:
        value = f"{text}\n<tool_call>{value}</tool_call>"
    return {"from": "function_call", "value": head + value}
