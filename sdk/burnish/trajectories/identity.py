"""Names of tasks, prompts and tool sets: hashes that do not change with what is beside the point.

Knows: how a conversation is normalised. Does not know: spans.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable

from burnish.journal.events import canonical
from burnish.records import Json, Message, ModelCall, Tool
from burnish.trajectories.normal_form import normal_text

_MEANT = ("type", "content", "name", "arguments", "response", "modality", "uri", "file_id")


def task_id(calls: Iterable[ModelCall]) -> str | None:
    """Hash of the conversation up to and including the last user message, None without one.

    The conversation is that of the first model call that a user speaks in. System prompt and
    tools belong to the policy; ids, metadata and spacing name no other task.
    """
    for call in calls:
        spoken = [message for message in call.messages if message.get("role") != "system"]
        last = max((i for i, m in enumerate(spoken) if m.get("role") == "user"), default=None)
        if last is not None:
            return _digest([_normal(message) for message in spoken[: last + 1]])
    return None


def prompt_hash(messages: list[Message]) -> str | None:
    """Hash of the system messages that a request begins with, None without any."""
    leading = itertools.takewhile(lambda message: message.get("role") == "system", messages)
    system = [message.get("parts") for message in leading]
    return _digest(system)[:16] if system else None


def tools_hash(tools: list[Tool]) -> str | None:
    """Hash of the tool schemas that were offered, None without any."""
    return _digest(tools)[:16] if tools else None


def _normal(message: Message) -> Json:
    parts = []
    for part in message.get("parts") or ():
        if isinstance(part, dict):
            parts.append({key: _squeezed(part[key]) for key in _MEANT if key in part})
        else:
            parts.append(_squeezed(part))
    return [message.get("role"), parts]


def _squeezed(value: Json) -> Json:
    if isinstance(value, str):
        return normal_text(value)
    if isinstance(value, list):
        return [_squeezed(item) for item in value]
    if isinstance(value, dict):
        return {key: _squeezed(item) for key, item in value.items()}
    return value


def _digest(value: Json) -> str:
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()
