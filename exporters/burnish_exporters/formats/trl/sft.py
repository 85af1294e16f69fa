"""Write TRL's conversational form for SFT: `messages` and `tools`.

Arguments of calls are objects, as TRL documents and most chat templates expect; `trl-sft-strings`
has them as the text that the model wrote. A row with a call whose arguments are not an object is
left out of the former and counted.

`SFTTrainer` learns every assistant message of a row alike, so a row with replies without loss is
not faithful in this form; `trl-prompt-completion` and burnish's own trainer honour the flags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import each_fit, object_of

_ROLES = {"system", "developer", "user", "assistant", "tool"}


@dataclass(frozen=True, kw_only=True)
class TrlSft:
    """Conversations with their tools.

    Attributes:
        objects: Whether arguments are objects; strings otherwise.
    """

    name: str = "trl-sft"
    columns: list[str] = field(default_factory=lambda: ["messages", "tools"])
    objects: bool = True
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows as conversations without our own facts."""
        return each_fit(rows, self._conversation, self.refused)

    def _conversation(self, row: dict[str, Json]) -> dict[str, Json]:
        messages = [chat_message(message, objects=self.objects) for message in row["messages"]]
        return {"messages": messages, "tools": row["tools"]}

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on.

        Raises:
            ExportError: If a role, a content or a call does not have the form that templates read.
        """
        require(row, self.columns)
        check_messages(row["messages"])


def chat_message(message: dict[str, Json], *, objects: bool = True) -> dict[str, Json]:
    """Return a message without our flags, arguments as objects or strings.

    Raises:
        Unfit: If arguments must be objects and one is not.
    """
    kept = {key: value for key, value in message.items() if key != "loss"}
    if objects and kept.get("tool_calls"):
        kept["tool_calls"] = [_with_object(call) for call in kept["tool_calls"]]
    return kept


def check_messages(messages: list[dict[str, Any]]) -> None:
    """Check roles, contents and calls of a conversation.

    Raises:
        ExportError: If one of them does not have the form that templates read.
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
    return {**call, "function": {**function, "arguments": object_of(call)}}
