"""Write ms-swift's form: chat messages with `loss` on each reply, tools as JSON text.

ms-swift (4.6) converts calls from OpenAI's form into its own. It reads `loss` of a message and
silently drops every other key, so reasoning goes into the text between `<think>` and `</think>`,
where its templates read it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import Chat, each_fit, only_text_of
from burnish_exporters.formats.trl.sft import check_messages

_ROLES = {"developer": "system"}


@dataclass(frozen=True, kw_only=True)
class Swift:
    """Conversations whose loss flags ms-swift honours."""

    name: str = "swift"
    columns: list[str] = field(default_factory=lambda: ["messages", "tools"])
    kinds: dict[str, str] = field(default_factory=lambda: {"tools": "text"})
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as conversations with the loss flags of their replies."""
        return each_fit(rows, _render_conversation, self.refused)

    def check(self, row: dict[str, Json]) -> None:
        """Check roles, contents, calls and flags.

        Raises:
            ExportError: If a message does not have the form that ms-swift reads.
        """
        require(row, self.columns)
        check_messages(row["messages"])
        for message in row["messages"]:
            if message["role"] == "assistant" and not isinstance(message.get("loss"), bool):
                raise ExportError("a reply without loss flag", "true or false on each reply")


def _render_conversation(row: Chat) -> Chat:
    return {
        "messages": [_render_message(message) for message in row["messages"]],
        "tools": json.dumps(row["tools"], ensure_ascii=False) if row["tools"] else "",
    }


def _render_message(message: Chat) -> Chat:
    role, text = message["role"], only_text_of(message, "ms-swift")
    made: Chat = {"role": _ROLES.get(role, role), "content": text}
    if role == "tool":
        made["tool_call_id"] = message["tool_call_id"]
    if role != "assistant":
        return made
    if message.get("reasoning_content"):
        made["content"] = f"<think>\n{message['reasoning_content']}\n</think>\n\n{text}"
    if message.get("tool_calls"):
        made["tool_calls"] = message["tool_calls"]
    return {**made, "loss": bool(message["loss"])}
