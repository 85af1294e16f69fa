"""Write TRL's prompt and completion form: one row per reply that carries loss.

A conversation is cut so that exactly the replies with loss are completions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.plain import each_fit
from burnish_exporters.formats.trl.sft import chat_message, check_messages


@dataclass(frozen=True, kw_only=True)
class TrlPromptCompletion:
    """Prompt, completion and tools, faithful to the loss flags."""

    name: str = "trl-prompt-completion"
    columns: list[str] = field(default_factory=lambda: ["prompt", "completion", "tools"])
    objects: bool = True
    refused: Counter[str] = field(default_factory=Counter)

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield one row per reply with loss, with everything before it as prompt."""
        return each_fit(_learned_replies(rows), self._reply, self.refused)

    def _reply(self, row: dict[str, Json]) -> dict[str, Json]:
        *prompt, completion = (
            chat_message(message, objects=self.objects) for message in row["messages"]
        )
        return {"prompt": prompt, "completion": [completion], "tools": row["tools"]}

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on.

        Raises:
            ExportError: If prompt or completion does not have the form that templates read.
        """
        require(row, self.columns)
        check_messages([*row["prompt"], *row["completion"]])
        if not row["prompt"] or row["completion"][-1]["role"] != "assistant":
            raise ExportError("a completion without prompt, or not by the assistant")


def _learned_replies(rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
    """Yield each reply with loss, with its tools and the messages up to it."""
    for row in rows:
        for place, message in enumerate(row["messages"]):
            if message["loss"]:
                yield {"messages": row["messages"][: place + 1], "tools": row["tools"]}
