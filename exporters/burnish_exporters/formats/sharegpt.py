"""ShareGPT's form: `conversations` of `from` and `value`, as LLaMA-Factory and axolotl read it.

Knows: the speakers of that form. Does not know: how rows were made.

The form has no place for a call beside its text, for ids, or for loss flags: the thought is written before the call in
one turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import text_of, turn_text

_SPEAKERS = {"user": "human", "assistant": "gpt", "tool": "observation"}


@dataclass(frozen=True, kw_only=True)
class ShareGpt:
    """Conversations by speaker, system and tools apart."""

    name: str = "sharegpt"
    columns: list[str] = field(default_factory=lambda: ["conversations", "system", "tools"])
    kinds: dict[str, str] = field(default_factory=lambda: {"tools": "text"})

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Rows as turns."""
        for row in rows:
            turns, system = [], []
            for message in row["messages"]:
                if message["role"] in ("system", "developer"):
                    system.append(text_of(message))
                else:
                    turns.append(_turn(message))
            tools = [tool["function"] for tool in row["tools"]]
            yield {
                "conversations": turns,
                "system": "\n\n".join(system),
                "tools": json.dumps(tools, ensure_ascii=False) if tools else "",
            }

    def check(self, row: dict[str, Json]) -> None:
        """Check speakers and the last turn.

        Raises:
            ExportError: If the conversation does not end with the model.
        """
        require(row, self.columns)
        speakers = [turn["from"] for turn in row["conversations"]]
        if not speakers or speakers[-1] not in ("gpt", "function_call"):
            raise ExportError(f"a conversation that ends with {speakers[-1:]}", "the model's turn")


def _turn(message: dict[str, Json]) -> dict[str, Json]:
    speaker = "function_call" if message.get("tool_calls") else _SPEAKERS[message["role"]]
    return {"from": speaker, "value": turn_text(message)}
