"""Find what makes a conversation unusable as a row, named so that it can be counted.

The rules concern names, ids, arguments and order of a tool conversation, not its content.
"""

from __future__ import annotations

import msgspec

from burnish.files.storage import BROKEN_JSON
from burnish.records import Tool
from burnish_exporters.rows.chat import Chat

_DECODER = msgspec.json.Decoder()


MAX_CHARS = 1_000_000


def find_row_problem(
    messages: list[Chat], tools: list[Tool], max_chars: int | None = MAX_CHARS
) -> str | None:
    """Return the first rule that the conversation breaks, as a reason to count; None if it breaks none.

    Args:
        messages: The conversation in chat form, with loss flags.
        tools: The tools that were offered.
        max_chars: Longest text of a message, in characters; None sets no limit.
    """
    names = {tool_name(tool) for tool in tools}
    open_calls: set[str] = set()
    for message in messages:
        if max_chars is not None and _longest_text(message) > max_chars:
            return "malformed: huge message"
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                return "malformed: tool result without its call"
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return "malformed: tool call without result"
        calls: list[Chat] = message.get("tool_calls") or []
        open_calls = {call["id"] for call in calls}
        if len(open_calls) != len(calls):
            return "malformed: call id used twice"
        if message.get("loss") and not (message["content"] or calls):
            return "malformed: empty reply"
        found = _find_call_problem(calls, names) if message.get("loss") else None
        if found:
            return found
    return "malformed: empty prompt" if messages[0]["loss"] else None


def _longest_text(message: Chat) -> int:
    """Return the length of the longest text of a message: its content, or the arguments of a call."""
    content = message["content"]
    said = len(content) if isinstance(content, str) else 0
    calls = message.get("tool_calls")
    if not calls:
        return said
    return max(said, *(len(call["function"]["arguments"]) for call in calls))


def tool_name(tool: Tool) -> str:
    """Return the name of a tool, flat or nested under "function"."""
    function = tool.get("function")
    return str((function if isinstance(function, dict) else tool).get("name"))


def _find_call_problem(calls: list[Chat], names: set[str]) -> str | None:
    """Return the fault of calls that would carry loss; None without a fault."""
    for call in calls:
        function = call["function"]
        if names and function["name"] not in names:
            return "malformed: unknown tool name"
        try:
            arguments = _DECODER.decode(function["arguments"])
        except BROKEN_JSON:
            arguments = None
        if not isinstance(arguments, dict):
            return "malformed: arguments are no JSON object"
    return None
