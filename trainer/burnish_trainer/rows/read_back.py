"""Check that a reply in tokens reads back as the message that it was made of.

The agent gets what the reply parser reads, so a reply that reads back as another message teaches another behaviour: a
text that looks like a call, a text that becomes a thought, a value whose type the syntax loses.
"""

from __future__ import annotations

import json
from typing import Any

from burnish.serving.toolcalls.reply_parser import ParsedReply, parse_reply
from burnish.serving.toolcalls.tool_syntax import syntax_of

ChatMessage = dict[str, Any]


def find_misreading(
    context: str, written: str, reply: ChatMessage, tools: Any, syntax: str | None
) -> str | None:
    """Return which part of a reply reads back otherwise; None if all parts are the same.

    Args:
        context: The prompt of the reply.
        written: The reply without its end mark.
        reply: The message, with arguments of calls as objects.
        tools: The offered tools, whose schemas give types to plain values.
        syntax: The syntax of tool calls; without one, calls are not checked.
    """
    calls = reply.get("tool_calls") or []
    if syntax is None and calls:
        return None
    opened = syntax_of(syntax).thoughts[0][0]
    read = parse_reply(written, syntax, tools=tools, in_thought=context.rstrip().endswith(opened))
    if _calls_read(read) != [_call_given(call) for call in calls]:
        return "tool calls"
    if read.content.strip() != str(reply.get("content") or "").strip():
        return "text"
    thought = str(reply.get("reasoning_content") or "").strip()
    return "reasoning" if thought in written and read.reasoning.strip() != thought else None


def _calls_read(read: ParsedReply) -> list[tuple[str | None, str]]:
    return [(call.name, json.dumps(call.arguments, sort_keys=True)) for call in read.calls]


def _call_given(call: dict[str, Any]) -> tuple[str | None, str]:
    function = call.get("function") or {}
    return function.get("name"), json.dumps(function.get("arguments") or {}, sort_keys=True)
