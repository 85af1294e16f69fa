"""The model calls of one dataset row, as exact tokens.

Knows: when recorded token ids can be used, and how a conversation is rendered with the model's own chat template
where they cannot. Does not know: which rows there are, what is merged afterwards.

Recorded ids are used only if they read, with this tokenizer, as the messages of the row: ids of another tokenizer
would be noise. Rendered calls get their borders from the template's `{% generation %}` marks, or, where it has none,
from the text that the template adds when the reply is appended.
"""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

from burnish.errors import TrainingError
from burnish_trainer.rows.merge import Call

Message = dict[str, Any]

_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


class ChatTokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    chat_template: Any
    eos_token_id: int | None

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Tokens of a text, under `input_ids`."""
        ...

    def decode(self, token_ids: list[int]) -> Any:
        """Text of tokens."""
        ...

    def apply_chat_template(self, conversation: list[Message], **options: Any) -> Any:
        """A conversation in the model's own form."""
        ...


def calls_of(row: dict[str, Any], tokenizer: ChatTokenizer) -> tuple[list[Call], bool]:
    """The calls of a row whose JSON columns were read, and whether they had to be rendered.

    Args:
        row: A dataset row: OpenAI-style `messages`, each with a `loss` flag where it is an assistant's; `tools`;
            `calls` with the place of the reply (`message`), `prompt_token_ids` and `token_ids` where known.
        tokenizer: The base model's tokenizer.

    Raises:
        TrainingError: The chat template refuses the conversation, or shows no border between context and reply.
    """
    messages: list[Message] = row.get("messages") or []
    recorded = _recorded(row.get("calls") or [], messages, tokenizer)
    if recorded is not None:
        return recorded, False
    clean = [_for_template(message) for message in messages]
    tools = row.get("tools") or None
    spoken = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and _learns(m)]
    return [Call(*_render(clean[: i + 1], tools, tokenizer)) for i in spoken], True


def _learns(message: Message) -> bool:
    return bool(message.get("loss", True))


def _recorded(
    calls: list[dict[str, Any]], messages: list[Message], tokenizer: ChatTokenizer
) -> list[Call] | None:
    """The calls from recorded ids; None if any that is learned lacks them or is of another tokenizer."""
    found: dict[int, Call] = {}
    for call in calls:
        prompt, completion, place = (
            call.get("prompt_token_ids"),
            call.get("token_ids"),
            call.get("message"),
        )
        if not prompt or not completion or not isinstance(place, int) or place >= len(messages):
            continue
        if not _reads_as(prompt, completion, messages[: place + 1], tokenizer):
            return None
        if completion[-1] != tokenizer.eos_token_id and tokenizer.eos_token_id is not None:
            completion = [*completion, tokenizer.eos_token_id]
        found[place] = Call(list(prompt), list(completion), learn=_learns(messages[place]))
    spoken = [i for i, m in enumerate(messages) if m.get("role") == "assistant" and _learns(m)]
    return [found[i] for i in sorted(found)] if spoken and found.keys() >= set(spoken) else None


def _reads_as(
    prompt: list[int], completion: list[int], messages: list[Message], tokenizer: ChatTokenizer
) -> bool:
    """Whether the ids say, in this tokenizer, what the last message before the reply and the reply say."""
    try:
        asked, written = str(tokenizer.decode(prompt)), str(tokenizer.decode(completion))
    except (IndexError, OverflowError, TypeError, ValueError):
        return False
    context = next((m for m in reversed(messages[:-1]) if m.get("role") in ("user", "tool")), None)
    texts = [(asked, _text(context))] if context else []
    reply = messages[-1]
    texts.append((written, _text(reply)))
    names = [call.get("function", {}).get("name", "") for call in reply.get("tool_calls") or []]
    return all(text.strip() in where for where, text in texts) and all(n in written for n in names)


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""


def _for_template(message: Message) -> Message:
    """The message as chat templates want it: text content, arguments as objects, nothing of ours."""
    clean = {key: value for key, value in message.items() if key not in ("loss", "weight")}
    clean["content"] = _text(message)
    if message.get("tool_calls"):
        clean["tool_calls"] = [_call_for_template(call) for call in message["tool_calls"]]
    return clean


def _call_for_template(call: dict[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments)
        except ValueError:
            function["arguments"] = arguments  # what the model wrote, though no JSON
    return {**call, "function": function}


def _render(
    messages: list[Message], tools: Any, tokenizer: ChatTokenizer
) -> tuple[list[int], list[int]]:
    """Context and reply of the last message, in tokens."""
    from jinja2 import TemplateError

    marked = _MARK.search(str(tokenizer.chat_template or ""))
    try:
        return (_by_marks if marked else _by_text)(messages, tools, tokenizer)
    except (TemplateError, TypeError, ValueError, KeyError) as error:
        raise TrainingError(
            f"the chat template refuses the conversation: {error}",
            "roles in an order that the base model's template knows",
            "burnish dataset show",
        ) from error


def _no_border() -> TrainingError:
    return TrainingError(
        "the chat template shows no border between a context and its reply",
        "a template with {% generation %} marks, or one that leaves history as it is",
        "add the marks to the chat template of the base model",
    )


def _by_marks(
    messages: list[Message], tools: Any, tokenizer: ChatTokenizer
) -> tuple[list[int], list[int]]:
    rendered = tokenizer.apply_chat_template(
        messages, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, mask = list(rendered["input_ids"]), list(rendered["assistant_masks"])
    if 1 not in mask:
        raise _no_border()
    end = len(mask) - next(i for i, marked in enumerate(reversed(mask)) if marked)
    start = end - next((i for i, marked in enumerate(reversed(mask[:end])) if not marked), end)
    return ids[:start], _with_end_mark(ids[start:], end - start, tokenizer)


def _by_text(
    messages: list[Message], tools: Any, tokenizer: ChatTokenizer
) -> tuple[list[int], list[int]]:
    history = str(tokenizer.apply_chat_template(messages[:-1], tools=tools, tokenize=False))
    context = str(
        tokenizer.apply_chat_template(
            messages[:-1], tools=tools, tokenize=False, add_generation_prompt=True
        )
    )
    whole = str(tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))
    shared = next(
        (i for i, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(context)
    )
    if shared < len(history):  # less than a generation prompt differs, such as an empty thought
        raise _no_border()
    prompt = tokenizer(context, add_special_tokens=False)["input_ids"]
    reply = tokenizer(whole[shared:], add_special_tokens=False)["input_ids"]
    return list(prompt), _with_end_mark(list(reply), len(reply), tokenizer)


def _with_end_mark(reply: list[int], written: int, tokenizer: ChatTokenizer) -> list[int]:
    """The reply up to and with the end mark; what the template adds behind it was never written by a model."""
    end = tokenizer.eos_token_id
    if end in reply:
        return reply[: reply.index(end) + 1]
    return reply[:written] if end is None else [*reply[:written], end]
