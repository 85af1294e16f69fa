"""Encode the model calls of one dataset row as exact tokens.

Recorded ids are used only if this tokenizer decodes them to the messages of the row: ids of another
tokenizer would be noise. All other calls are rendered and checked (`rows/rendering.py`).
"""

from __future__ import annotations

from typing import Any

from burnish.serving.contract.template_form import TemplateForm, messages_for_template
from burnish_trainer.rows.fidelity import lacks_arguments
from burnish_trainer.rows.merge import TokenCall
from burnish_trainer.rows.rendering import ChatRendering, ChatTokenizer

Message = dict[str, Any]


def encode_calls(
    row: dict[str, Any], tokenizer: ChatTokenizer, rendering: ChatRendering
) -> tuple[list[TokenCall], bool, bool]:
    """Make the calls of a row whose JSON columns were read.

    Args:
        row: A dataset row: OpenAI-style `messages`, each with a `loss` flag where it is an assistant's; `tools`;
            `calls` with the place of the reply (`message`), `prompt_token_ids` and `token_ids` where known.
        tokenizer: The base model's tokenizer.
        rendering: Its chat template.

    Returns:
        The calls, whether they had to be rendered, and whether a thought of theirs is left out.

    Raises:
        TrainingError: The chat template refuses the conversation, changes it, or shows no border between context and
            reply.
    """
    messages: list[Message] = row.get("messages") or []
    recorded = _recorded_calls(row.get("calls") or [], messages, tokenizer, rendering)
    if recorded is not None:
        return recorded, False, False
    clean = [_for_template(message) for message in messages]
    tools = row.get("tools") or []
    spoken = [
        i for i, m in enumerate(messages) if m.get("role") == "assistant" and _carries_loss(m)
    ]
    found = [rendering.render_call(clean[: i + 1], tools) for i in spoken]
    calls = [TokenCall(call.prompt, call.completion) for call in found]
    return calls, True, any(call.thought_left_out for call in found)


def _carries_loss(message: Message) -> bool:
    return bool(message.get("loss", True))


def _recorded_calls(
    calls: list[dict[str, Any]],
    messages: list[Message],
    tokenizer: ChatTokenizer,
    rendering: ChatRendering,
) -> list[TokenCall] | None:
    """Return the calls from recorded ids; None if a learned call lacks them or has ids of another tokenizer."""
    found: dict[int, TokenCall] = {}
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
        ended = rendering.end_completion(list(completion), messages[place])
        logprobs = call.get("logprobs") or ()
        if len(logprobs) != len(completion):
            logprobs = ()  # it is unknown to which tokens they belong
        learn = _carries_loss(messages[place])
        found[place] = TokenCall(list(prompt), ended, learn, logprobs)
    spoken = [
        i for i, m in enumerate(messages) if m.get("role") == "assistant" and _carries_loss(m)
    ]
    return [found[i] for i in sorted(found)] if spoken and found.keys() >= set(spoken) else None


def _reads_as(
    prompt: list[int], completion: list[int], messages: list[Message], tokenizer: ChatTokenizer
) -> bool:
    """Report if the ids decode to the last message before the reply and to the reply."""
    try:
        asked, written = str(tokenizer.decode(prompt)), str(tokenizer.decode(completion))
    except (IndexError, OverflowError, TypeError, ValueError):
        return False
    context = next((m for m in reversed(messages[:-1]) if m.get("role") in ("user", "tool")), None)
    texts = [(asked, _message_text(context))] if context else []
    reply = messages[-1]
    texts.append((written, _message_text(reply)))
    if not all(text.strip() in where for where, text in texts):
        return False
    (read,) = messages_for_template([reply], TemplateForm())  # arguments as objects
    return not lacks_arguments(written, read)


def _message_text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or message.get("refusal") or ""


def _for_template(message: Message) -> Message:
    """Return the message without burnish's own keys; content that is all text, or a refusal, becomes one text."""
    clean = {k: v for k, v in message.items() if k not in ("loss", "weight", "refusal")}
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if all(isinstance(part, dict) and part.get("type", "text") == "text" for part in parts):
        clean["content"] = _message_text(message)
    return clean
