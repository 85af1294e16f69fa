"""Render a conversation with the base model's own chat template, check it, and split it into context and reply.

`ChatRendering.render_call(messages, tools)` gives the tokens of one model call: the context is the prompt that a server
builds from the same messages, the reply is what the template prints behind it up to the end of the turn. A row that the
template does not print completely is refused with a reason, which the row report counts.

The end of a turn is the template's own: the mark that follows a reply both at the end of a conversation and before a
next message. Models without such a mark (GLM) stop where the next turn begins, so its mark is learned. Text that a
template adds behind the end mark was never written by a model and is not learned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from burnish.errors import TrainingError
from burnish.serving.contract.template_form import (
    TemplateForm,
    find_template_form,
    messages_for_template,
)
from burnish.serving.contract.turn_end import (
    CALL_REPLY,
    TEXT_REPLY,
    TurnEnd,
    find_end_ids,
    find_turn_end,
    read_marks,
)
from burnish.serving.toolcalls.tool_syntax import detect_syntax
from burnish_trainer.rows.fidelity import (
    describe_structure,
    first_changed,
    first_fault,
    lacks_arguments,
    make_stand_in,
)
from burnish_trainer.rows.read_back import find_misreading
from burnish_trainer.rows.reply_border import split_reply

Message = dict[str, Any]


class ChatTokenizer(Protocol):
    """The methods that rendering needs of a Hugging Face tokenizer."""

    chat_template: Any
    eos_token_id: int | None

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Return the tokens of a text, under `input_ids`."""
        ...

    def decode(self, token_ids: list[int]) -> Any:
        """Return the text of tokens."""
        ...

    def apply_chat_template(self, conversation: list[Message], **options: Any) -> Any:
        """Render a conversation in the model's own form."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class RenderedCall:
    """One model call in tokens, with a mark if reasoning of the reply is left out."""

    prompt: list[int]
    completion: list[int]
    thought_left_out: bool


class ChatRendering:
    """The chat template of one tokenizer.

    Args:
        tokenizer: The base model's tokenizer.
        end_ids: Every token that ends a generation, as generation_config.json lists them.
    """

    def __init__(self, tokenizer: ChatTokenizer, end_ids: frozenset[int] = frozenset()) -> None:
        self._tokenizer = tokenizer
        self._end_ids = end_ids | (
            frozenset() if tokenizer.eos_token_id is None else frozenset([tokenizer.eos_token_id])
        )
        self._marks = read_marks(tokenizer, end_ids)
        template = str(tokenizer.chat_template or "")
        self._form = find_template_form(self._apply_template, template)
        self._syntax = detect_syntax(template)
        self._known: dict[Hashable, TurnEnd | TrainingError] = {}
        self._plain_end: TurnEnd | None = None
        self._tokens: frozenset[int] | None = None

    def render_call(self, messages: Sequence[Message], tools: Sequence[Any]) -> RenderedCall:
        """Render the call whose reply is the last message.

        Raises:
            TrainingError: The template refuses the conversation, prints it otherwise than it is, or shows no border
                between context and reply.
        """
        self._refuse_media(messages)
        if (
            not messages[-1].get("tool_calls")
            and not str(messages[-1].get("content") or "").strip()
        ):
            raise TrainingError(
                "nothing to learn: a reply holds neither text nor calls",
                "replies that the agent could use",
                "leave the run out of the dataset",
            )
        read = messages_for_template(messages, TemplateForm())  # arguments as objects
        end = self._check_structure(read, tools)
        context, reply = self._split_reply(messages, tools)
        self._refuse_changes(context, reply, read)
        body = self._cut_end(reply, end)
        misread = find_misreading(context, body, read[-1], tools, self._syntax)
        if misread is not None:
            raise _unfaithful_template(
                f"prints {misread} that the model's reply parser reads otherwise"
            )
        learned = body + end.mark
        thought = str(messages[-1].get("reasoning_content") or "").strip()
        return RenderedCall(
            self._encode_text(context),
            self._encode_text(learned),
            bool(thought) and thought not in learned,
        )

    def end_completion(self, completion: list[int], reply: Message) -> list[int]:
        """Cut recorded tokens of a reply behind its first end mark, or append the missing mark."""
        ends = self._end_tokens()
        at = next((at for at, token in enumerate(completion) if token in ends), None)
        if at is not None:
            return completion[: at + 1]
        kind = CALL_REPLY if reply.get("tool_calls") else TEXT_REPLY
        return [*completion, *self._encode_text(self._end_of(kind).mark)]

    def _end_tokens(self) -> frozenset[int]:
        """Return the tokens that end a turn: those of the configuration and the template's own."""
        if self._tokens is None:
            self._tokens = find_end_ids(self._tokenizer, self._try_print, self._end_ids)
        return self._tokens

    def _end_of(self, reply: Message) -> TurnEnd:
        """Find how a turn like this one ends, independent of the turns before it."""
        asked = [{"role": "user", "content": "Zqquestion"}, reply]
        plain = self._plain_turn_end(asked)
        return find_turn_end(self._try_print, asked, (), ["Zqreply"], self._marks, plain)

    def _apply_template(self, messages: Sequence[Message], tools: Any, prompt: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=prompt,
            )
        )

    def _print_messages(
        self, messages: Sequence[Message], tools: Any, *, prompt: bool = False
    ) -> str:
        try:
            return self._apply_template(messages_for_template(messages, self._form), tools, prompt)
        except Exception as error:  # templates are programs, and can raise anything
            raise TrainingError(
                f"the chat template refuses the conversation: {error}",
                "roles in an order that the base model's template knows",
                "burnish dataset show",
            ) from error

    def _try_print(self, messages: Sequence[Message], tools: Any) -> str | None:
        try:
            return self._print_messages(messages, tools)
        except TrainingError:
            return None

    def _split_reply(self, messages: Sequence[Message], tools: Any) -> tuple[str, str]:
        return split_reply(
            lambda shown, offered, prompt: self._print_messages(shown, offered, prompt=prompt),
            messages,
            tools,
        )

    def _check_structure(self, messages: Sequence[Message], tools: Any) -> TurnEnd:
        """Check the structure of a conversation once, and find how its last turn ends."""
        key = describe_structure(messages, tools)
        if key not in self._known:
            try:
                self._known[key] = self._find_turn_end(messages, tools)
            except TrainingError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, TrainingError):
            raise found
        return found

    def _find_turn_end(self, messages: Sequence[Message], tools: Any) -> TurnEnd:
        stand = make_stand_in(messages, tools)
        context, reply = self._split_reply(stand.messages, stand.tools)
        fault = first_fault(context + reply, stand)
        if fault is not None:
            raise _unfaithful_template(fault)
        words = [piece.word for piece in stand.pieces if piece.message == len(messages) - 1]
        if any(word not in reply for word in words):
            raise _unfaithful_template("prints a part of the reply before its beginning")
        plain = self._plain_turn_end(stand.messages)
        return find_turn_end(
            self._try_print, stand.messages, stand.tools, words, self._marks, plain
        )

    def _plain_turn_end(self, messages: Sequence[Message]) -> TurnEnd | None:
        """Return how a turn of text alone ends; None while that turn itself is checked."""
        if not messages[-1].get("tool_calls"):
            return None
        if self._plain_end is None:
            self._plain_end = self._end_of(TEXT_REPLY)
        return self._plain_end

    def _cut_end(self, reply: str, end: TurnEnd) -> str:
        """Return the reply without its end mark; no mark that ends a generation may occur in it."""
        body = reply
        if end.printed:
            if not reply.endswith(end.printed):
                raise _unfaithful_template(
                    "ends a turn in another way than it does for other texts"
                )
            body = reply[: len(reply) - len(end.printed)]
        ends = self._end_tokens()
        inner = next((token for token in self._encode_text(body) if token in ends), None)
        found = self._tokenizer.decode([inner]) if inner is not None else end.mark
        if inner is not None or (end.mark and end.mark in body):
            raise TrainingError(
                f"the reply holds an end mark of the model, {found}",
                "text that the model can write without ending its turn",
                "leave the run out of the dataset",
            )
        return body

    def _refuse_changes(self, context: str, reply: str, messages: Sequence[Message]) -> None:
        # What a template strips from earlier replies, a server's prompt lacks too.
        given = [message for message in messages[:-1] if message.get("role") != "assistant"]
        changed = first_changed(context, given) or first_changed(reply, messages[-1:])
        if changed is not None:
            raise _unfaithful_template(changed)
        if lacks_arguments(reply, messages[-1]):
            raise _unfaithful_template("changes arguments of tool calls")

    def _refuse_media(self, messages: Sequence[Message]) -> None:
        for message in messages:
            content = message.get("content")
            if isinstance(content, list):
                raise TrainingError(
                    f"a message holds content that is no text ({_content_kinds(content)})",
                    "text, because training covers only text",
                    "leave such runs out of the dataset",
                )

    def _encode_text(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _unfaithful_template(fault: str) -> TrainingError:
    return TrainingError(
        f"the chat template {fault}",
        "a template that prints each text, call, argument and result once and in order",
        "choose another chat template for the base model; see docs/templates.md",
    )


def _content_kinds(content: list[Any]) -> str:
    kinds = {
        str(part.get("type")) if isinstance(part, dict) else type(part).__name__ for part in content
    }
    return ", ".join(sorted(kinds - {"text"}))
