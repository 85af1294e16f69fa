"""TRL's conversational form for SFT: `messages` and `tools`.

Knows: what `SFTTrainer` reads. Does not know: how rows were made.

TRL learns every assistant message of a row alike. A row with replies that carry no loss is therefore not faithful in
this form; `trl-prompt-completion` and burnish's own trainer honour the flags.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require

_ROLES = {"system", "developer", "user", "assistant", "tool"}


@dataclass(frozen=True, kw_only=True)
class TrlSft:
    """Conversations with their tools.

    Attributes:
        objects: Whether arguments are objects; strings otherwise.
    """

    name: str = "trl-sft"
    columns: list[str] = field(default_factory=lambda: ["messages", "tools"])
    objects: bool = False

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Rows as conversations without our own facts."""
        for row in rows:
            messages = [chat_message(message, objects=self.objects) for message in row["messages"]]
            yield {"messages": messages, "tools": row["tools"]}

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on.

        Raises:
            ExportError: If a role, a content or a call has not the form that templates read.
        """
        require(row, self.columns)
        check_messages(row["messages"])


def chat_message(message: dict[str, Json], *, objects: bool = False) -> dict[str, Json]:
    """A message without our flags, arguments as strings or objects."""
    kept = {key: value for key, value in message.items() if key != "loss"}
    if objects and kept.get("tool_calls"):
        kept["tool_calls"] = [_with_object(call) for call in kept["tool_calls"]]
    return kept


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Check roles, contents and calls of a conversation.

    Raises:
        ExportError: If one of them has not the form that templates read.
    """
    for message in messages:
        if message.get("role") not in _ROLES:
            raise ExportError(f"message role {message.get('role')!r}", f"one of {sorted(_ROLES)}")
        if not isinstance(message.get("content"), (str, list)):
            raise ExportError(f"message content {message.get('content')!r}", "text or text blocks")
        for call in message.get("tool_calls") or ():
            if not (call.get("id") and call["function"].get("name")):
                raise ExportError(f"tool call {call!r}", "an id and a function name")


def _with_object(call: dict[str, Json]) -> dict[str, Json]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.loads(function["arguments"])}}
