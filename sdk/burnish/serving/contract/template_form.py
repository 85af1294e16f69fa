"""Find the message form that a chat template accepts by rendering a few messages.

Templates differ: arguments of calls as an object (Qwen, Llama, GLM) or as text (DeepSeek V3),
content as text or as a list of parts (Idefics, SmolVLM), thoughts under `reasoning_content` or
`thinking` (gpt-oss), call ids of nine characters (Mistral). `find_template_form` tries the template
once; `messages_for_template` converts every message to that form. Serving and training both use it,
so a row's context is the prompt that a server builds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from burnish.records import Json

ChatMessage = dict[str, Any]
Render = Callable[[Sequence[ChatMessage], Sequence[Json], bool], str]
"""Renders messages with tools, with or without the generation prompt; raises the template's errors.
"""

_VALUE, _QUESTION = "Zqvalue", "Zqquestion"
_ID_LENGTH = 9
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclasses.dataclass(frozen=True)
class TemplateForm:
    """The message form that a template accepts."""

    arguments: Literal["object", "text"] = "object"
    content: Literal["text", "parts"] = "text"
    thought: str = "reasoning_content"
    """The key of a message's thought."""
    short_ids: bool = False
    """Whether the ids of calls must have nine letters and digits."""


def find_template_form(render: Render, template: str = "") -> TemplateForm:
    """Find the form that a template accepts.

    Args:
        render: Renders with the template.
        template: Its text, from which the key of a thought is read.
    """
    thought = "reasoning_content"
    if "reasoning_content" not in template and "thinking" in template:
        thought = "thinking"
    form = TemplateForm(thought=thought)
    asked = [{"role": "user", "content": _QUESTION}]
    if _QUESTION not in _try_rendering(render, messages_for_template(asked, form)):
        parts = dataclasses.replace(form, content="parts")
        if _QUESTION in _try_rendering(render, messages_for_template(asked, parts)):
            form = parts
    for short in (False, True):
        for kind in ("object", "text"):
            one = dataclasses.replace(form, arguments=kind, short_ids=short)
            if _prints_arguments(
                _try_rendering(render, messages_for_template(_conversation_with_call(), one))
            ):
                return one
    return form


def _conversation_with_call() -> list[ChatMessage]:
    function = {"name": "Zqtool", "arguments": {"k": _VALUE}}
    call = {"id": "call_1", "type": "function", "function": function}
    return [
        {"role": "user", "content": _QUESTION},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "name": "Zqtool", "content": "Zqresult"},
    ]


def _try_rendering(render: Render, messages: Sequence[ChatMessage]) -> str:
    try:
        return render(messages, (), False)
    except Exception:  # noqa: BLE001 - a template may raise anything; it then needs another form
        return ""


def _prints_arguments(text: str) -> bool:
    """Return whether arguments are printed, neither quoted twice nor as a Python dictionary."""
    return _VALUE in text and '\\"k\\"' not in text and "{'k'" not in text


def messages_for_template(messages: Sequence[ChatMessage], form: TemplateForm) -> list[ChatMessage]:
    """Convert messages in OpenAI's chat form to the form that a template accepts."""
    return [_shape_message(message, form) for message in messages]


def _shape_message(message: ChatMessage, form: TemplateForm) -> ChatMessage:
    clean = dict(message)
    if form.content == "parts" and isinstance(clean.get("content"), str):
        clean["content"] = [{"type": "text", "text": clean["content"]}]
    if form.thought != "reasoning_content" and clean.get("reasoning_content"):
        clean[form.thought] = clean.pop("reasoning_content")
    if clean.get("tool_calls"):
        clean["tool_calls"] = [_shape_call(call, form) for call in clean["tool_calls"]]
    if form.short_ids and clean.get("tool_call_id"):
        clean["tool_call_id"] = _short_id(str(clean["tool_call_id"]))
    return clean


def _shape_call(call: dict[str, Any], form: TemplateForm) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if form.arguments == "text" and not isinstance(arguments, str):
        function["arguments"] = json.dumps(arguments, ensure_ascii=False)
    elif form.arguments == "object" and isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments or "{}")
        except ValueError:
            function["arguments"] = arguments  # text that the model wrote and that is not JSON
    identity = call.get("id")
    if form.short_ids and identity:
        return {**call, "id": _short_id(str(identity)), "function": function}
    return {**call, "function": function}


def _short_id(identity: str) -> str:
    """Return an id of nine letters and digits; one of that form is unchanged."""
    if len(identity) == _ID_LENGTH and identity.isascii() and identity.isalnum():
        return identity
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogatepass")).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:_ID_LENGTH])
