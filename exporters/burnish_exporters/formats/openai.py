"""Write OpenAI's fine-tuning format: one JSON object per line, `messages` and `tools`.

Rows are checked with the types of OpenAI's package. Loss flags become `weight`: 0 on assistant
messages that carry no loss. Reasoning is left out: the format has no place for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from burnish.errors import ExportError
from burnish.records import Json
from burnish_exporters.formats.columns import require
from burnish_exporters.formats.contrast import StepPreferences
from burnish_exporters.formats.pairs import Pair


class OpenAIFormat:
    """Chat fine-tuning rows, checked against `openai.types.chat`."""

    name = "openai"
    columns: list[str] = ["messages", "tools"]  # noqa: RUF012 - the protocol's shape

    def render(self, rows: Iterable[dict[str, Json]]) -> Iterator[dict[str, Json]]:
        """Yield rows in OpenAI's form; `tools` only where there are some."""
        for row in rows:
            line: dict[str, Json] = {
                "messages": [_render_message(message) for message in row["messages"]]
            }
            if row["tools"]:
                line["tools"] = row["tools"]
            yield line

    def check(self, row: dict[str, Json]) -> None:
        """Validate a rendered row with OpenAI's own types.

        Raises:
            ExportError: If OpenAI would refuse it.
        """
        require(row, ["messages"])
        _check_row(row)


class OpenAIDpoFormat(StepPreferences):
    """Preference rows of OpenAI and Together: a conversation and two replies to it."""

    name = "openai-dpo"
    columns: list[str] = ["input", "preferred_output", "non_preferred_output"]  # noqa: RUF012

    def render_pair(self, pair: Pair) -> dict[str, Json]:
        """Return the row of a pair."""
        asked: dict[str, Json] = {
            "messages": [_render_preferred(message) for message in pair.prompt]
        }
        if pair.tools:
            asked |= {"tools": pair.tools, "parallel_tool_calls": True}
        return {
            "input": asked,
            "preferred_output": [_render_preferred(message) for message in pair.chosen],
            "non_preferred_output": [_render_preferred(message) for message in pair.rejected],
        }

    def check(self, row: dict[str, Json]) -> None:
        """Validate prompt and sides with OpenAI's own types.

        Raises:
            ExportError: If OpenAI would refuse the row, or its sides are the same.
        """
        require(row, self.columns)
        for side in ("preferred_output", "non_preferred_output"):
            _check_row({**row["input"], "messages": [*row["input"]["messages"], *row[side]]})
            if len(row[side]) != 1 or row[side][0]["role"] != "assistant":
                raise ExportError(f"{side} of {len(row[side])} messages", "one assistant message")
        if row["preferred_output"] == row["non_preferred_output"]:
            raise ExportError("a pair whose sides are the same", "two different replies")


def _check_row(row: dict[str, Json]) -> None:
    import pydantic

    messages, tools = _build_validators()
    try:
        for message in messages.validate_python(row["messages"]):
            _exhaust_value(message)
        for tool in tools.validate_python(row.get("tools") or []):
            _exhaust_value(tool)
    except pydantic.ValidationError as problem:
        first = problem.errors()[0]
        raise ExportError(
            f"row is not in OpenAI's form: {first['msg']} at {first['loc']}",
            "messages as in openai.types.chat",
            "burnish dataset verify ID",
        ) from problem


def _render_preferred(message: dict[str, Json]) -> dict[str, Json]:
    """Render a message of a preference, which has no weights."""
    return {key: value for key, value in _render_message(message).items() if key != "weight"}


def _render_message(message: dict[str, Json]) -> dict[str, Json]:
    kept = {
        key: value for key, value in message.items() if key not in ("loss", "reasoning_content")
    }
    if message["role"] == "tool":
        kept.pop("name", None)
    if message["role"] == "assistant" and not message["loss"]:
        kept["weight"] = 0
    return kept


@cache
def _build_validators() -> tuple[Any, Any]:
    """Build validators of OpenAI's types once: building them costs a thousand times a check."""
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
    from pydantic import TypeAdapter

    messages = TypeAdapter(list[ChatCompletionMessageParam])
    return messages, TypeAdapter(list[ChatCompletionToolParam])


def _exhaust_value(value: Any) -> None:
    """Walk through a validated value, because iterables inside it are only validated when read."""
    if isinstance(value, dict):
        for inner in value.values():
            _exhaust_value(inner)
    elif not isinstance(value, (str, bytes)) and isinstance(value, Iterable):
        for inner in value:
            _exhaust_value(inner)
