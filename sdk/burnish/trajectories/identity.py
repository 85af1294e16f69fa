"""Identify tasks, prompts and tool sets by hashes that ignore ids, metadata and spacing."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable

from burnish.journal.events import canonical
from burnish.records import Json, Message, ModelCall, Tool
from burnish.trajectories.normal_form import normal_text

_MEANT = ("type", "content", "name", "arguments", "response", "modality", "uri", "file_id")


def derive_task_id(calls: Iterable[ModelCall]) -> str | None:
    """Hash the conversation up to and including the last user message; None without one.

    The conversation is that of the first model call with a user message. System prompt and tools
    belong to the policy; ids, metadata and spacing do not change the task.
    """
    for call in calls:
        spoken = [message for message in call.messages if message.get("role") != "system"]
        last = max((i for i, m in enumerate(spoken) if m.get("role") == "user"), default=None)
        if last is not None:
            return _hash_value([_normalize_message(message) for message in spoken[: last + 1]])
    return None


def hash_prompt(messages: list[Message]) -> str | None:
    """Hash the system messages at the start of a request; None without any."""
    leading = itertools.takewhile(lambda message: message.get("role") == "system", messages)
    system = [message.get("parts") for message in leading]
    return _hash_value(system)[:16] if system else None


def hash_tools(tools: list[Tool]) -> str | None:
    """Hash the offered tool schemas; None without any."""
    return _hash_value(tools)[:16] if tools else None


def _normalize_message(message: Message) -> Json:
    parts = []
    for part in message.get("parts") or ():
        if isinstance(part, dict):
            parts.append({key: _normalize_value(part[key]) for key in _MEANT if key in part})
        else:
            parts.append(_normalize_value(part))
    return [message.get("role"), parts]


def _normalize_value(value: Json) -> Json:
    if isinstance(value, str):
        return normal_text(value)
    if isinstance(value, list):
        return [_normalize_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _normalize_value(item) for key, item in value.items()}
    return value


def _hash_value(value: Json) -> str:
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()
