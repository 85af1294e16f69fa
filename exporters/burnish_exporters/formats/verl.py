"""Write verl's multi-turn SFT form: a Parquet whose messages have only `role` and `content`, calls and tools as text.

verl (0.9.1) reads Parquet with pandas, which gives every object each key of all the others, with
null: tools and arguments as structures would reach the chat template changed. It also renders
message by message, so several results of one turn must be one message. Here tools, calls and
results are written in the Hermes syntax of Qwen 2.5 and Qwen 3, so that their templates print what
they print for structured messages. For models of another syntax use `trl-sft`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import Chat, Unfit, each_fit, object_of, only_text_of

_TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n{tools}\n</tools>\n\n"
    "For each function call, return a json object with function name and arguments within "
    '<tool_call></tool_call> XML tags:\n<tool_call>\n{{"name": <function-name>, "arguments": <args-json-object>}}\n'
    "</tool_call>"
)


@dataclass(frozen=True, kw_only=True)
class Verl:
    """Conversations as plain text turns."""

    name: str = "verl"
    columns: list[str] = field(default_factory=lambda: ["messages"])
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as turns of text; a row with a reply without loss is left out, because verl learns every reply."""
        return each_fit(rows, _render_conversation, self.refused)

    def check(self, row: dict[str, Json]) -> None:
        """Check that messages hold only role and content.

        Raises:
            ExportError: If a message holds more, or its content is not text.
        """
        require(row, self.columns)
        for message in row["messages"]:
            if list(message) != ["role", "content"] or not isinstance(message["content"], str):
                raise ExportError(
                    f"a message with {', '.join(message)}", "role and content, a text"
                )

    def arrow_schema(self) -> Any:
        """Return the columns of the Parquet file."""
        import pyarrow as pa

        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        return pa.schema([("messages", pa.list_(message))])


def _render_conversation(row: Chat) -> Chat:
    turns: list[Chat] = []
    sampled = {int(call["message"]) for call in row["calls"]}
    for place, message in enumerate(row["messages"]):
        if place in sampled and not message["loss"]:
            raise Unfit("a reply that is not learned, which verl would learn")
        text = only_text_of(message, "verl")
        if message["role"] == "assistant":
            turns.append({"role": "assistant", "content": _render_reply(message, text)})
        elif message["role"] != "tool":
            turns.append({"role": message["role"], "content": text})
        elif row["messages"][place - 1]["role"] == "tool":
            turns[-1]["content"] += f"\n{_render_result(text)}"
        else:
            turns.append({"role": "user", "content": _render_result(text)})
    return {"messages": _with_tools(turns, row["tools"])}


def _render_reply(message: Chat, text: str) -> str:
    if message.get("reasoning_content"):
        text = f"<think>\n{message['reasoning_content']}\n</think>\n\n{text}"
    calls = [
        json.dumps({"name": c["function"]["name"], "arguments": object_of(c)}, ensure_ascii=False)
        for c in message.get("tool_calls") or ()
    ]
    return "\n".join(
        [*([text] if text else []), *map("<tool_call>\n{}\n</tool_call>".format, calls)]
    )


def _render_result(text: str) -> str:
    return f"<tool_response>\n{text}\n</tool_response>"


def _with_tools(turns: list[Chat], tools: list[Json]) -> list[Chat]:
    if not tools:
        return turns
    listed = _TOOLS.format(tools="\n".join(json.dumps(t, ensure_ascii=False) for t in tools))
    if turns and turns[0]["role"] == "system":
        head = {"role": "system", "content": f"{turns[0]['content']}\n\n{listed}"}
        return [head, *turns[1:]]
    return [{"role": "system", "content": listed}, *turns]
