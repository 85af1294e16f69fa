"""Find where a reply begins in a rendered conversation: behind the prompt that a server builds.

`split_reply` is the entry. Most templates print a reply directly behind their generation prompt. The others are handled
by name: a prompt that closes an empty thought, a prompt that opens a thought, and a history that the reply changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from burnish.errors import TrainingError

ChatMessage = dict[str, Any]
PrintMessages = Callable[[Sequence[ChatMessage], Any, bool], str]
"""Renders messages with tools, with or without the generation prompt; raises TrainingError."""

_CLOSED_THOUGHT = re.compile(r"<think>\s*</think>\s*\Z")
_OPEN_THOUGHT = re.compile(r"(?P<mark><think>)\s*\Z")
_CLOSE = "</think>"


def split_reply(
    print_messages: PrintMessages, messages: Sequence[ChatMessage], tools: Any
) -> tuple[str, str]:
    """Return context and reply as text: the prompt of a server, and what the model writes behind it.

    A thought that the prompt leaves no room for is left out of the reply.

    Raises:
        TrainingError: The template refuses the conversation, or no border can be found.
    """
    context = print_messages(messages[:-1], tools, True)
    whole = print_messages(messages, tools, False)
    reply = (
        _reply_behind_prompt(context, whole)
        or _reply_behind_closed_thought(context, whole, messages[-1])
        or _reply_in_open_thought(context, whole, messages[-1])
        or _reply_behind_changed_history(print_messages, context, whole, messages, tools)
    )
    if reply:
        return context, reply
    if messages[-1].get("reasoning_content"):
        return split_reply(print_messages, [*messages[:-1], _without_thought(messages[-1])], tools)
    raise TrainingError(
        "the chat template shows no border between a context and its reply",
        "a template that begins a reply with its generation prompt",
        "choose another chat template for the base model; see docs/templates.md",
    )


def _reply_behind_prompt(context: str, whole: str) -> str | None:
    return whole[len(context) :] if whole.startswith(context) else None


def _reply_behind_closed_thought(context: str, whole: str, reply: ChatMessage) -> str | None:
    """Return the reply if the prompt closes an empty thought that the template does not print again."""
    header = _CLOSED_THOUGHT.sub("", context)
    text = str(reply.get("content") or "").strip()
    if header == context or not text or not whole.startswith(header):
        return None
    rest = whole[len(header) :]
    return rest if rest.startswith(text) else None


def _reply_in_open_thought(context: str, whole: str, reply: ChatMessage) -> str | None:
    """Return the reply if the prompt opens a thought that the template prints otherwise.

    Nemotron prints an empty thought without the white space of its prompt. DeepSeek prints no thought at all, so the
    reply is the row's thought, its end mark, and the printed text.
    """
    opened = _OPEN_THOUGHT.search(context)
    if opened is None:
        return None
    header = context[: opened.end("mark")]
    if whole.startswith(header + _CLOSE):
        return whole[len(header) :]
    before = context[: opened.start()]
    if not whole.startswith(before) or whole.startswith(header):
        return None
    thought = str(reply.get("reasoning_content") or "").strip()
    return f"{thought}\n{_CLOSE}\n\n{whole[len(before) :]}"


def _reply_behind_changed_history(
    print_messages: PrintMessages,
    context: str,
    whole: str,
    messages: Sequence[ChatMessage],
    tools: Any,
) -> str | None:
    """Return the reply if printing it changes earlier turns, as gpt-oss strips thoughts before a final answer.

    The reply is then what the template prints of it behind a plain question.
    """
    shown = print_messages(messages[:-1], tools, False)
    prompt = context[len(shown) :] if context.startswith(shown) else ""
    alone = [{"role": "user", "content": "Zqquestion"}, messages[-1]]
    try:
        reply = _reply_behind_prompt(
            print_messages(alone[:1], tools, True), print_messages(alone, tools, False)
        )
    except TrainingError:
        return None
    if not prompt or not reply or not whole.endswith(prompt + reply):
        return None
    return reply


def _without_thought(reply: ChatMessage) -> ChatMessage:
    return {key: value for key, value in reply.items() if key != "reasoning_content"}
