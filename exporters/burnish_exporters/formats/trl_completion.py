"""TRL's prompt and completion form: one row per reply that carries loss.

Knows: how a conversation is cut so that exactly the learned replies are completions. Does not know: how rows were made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.trl_sft import chat_message, check_messages


@dataclass(frozen=True, kw_only=True)
class TrlPromptCompletion:
    """Prompt, completion and tools, faithful to the loss flags."""

    name: str = "trl-prompt-completion"
    columns: list[str] = field(default_factory=lambda: ["prompt", "completion", "tools"])

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """One row per reply that is learned, with everything before it as prompt."""
        for row in rows:
            messages = [chat_message(message) for message in row["messages"]]
            for place, message in enumerate(row["messages"]):
                if message["loss"]:
                    yield {
                        "prompt": messages[:place],
                        "completion": [messages[place]],
                        "tools": row["tools"],
                    }

    def check(self, row: dict[str, Json]) -> None:
        """Check what chat templates rely on.

        Raises:
            ExportError: If prompt or completion has not the form that templates read.
        """
        require(row, self.columns)
        check_messages([*row["prompt"], *row["completion"]])
        if not row["prompt"] or row["completion"][-1]["role"] != "assistant":
            raise ExportError("a completion without prompt, or not by the assistant")
