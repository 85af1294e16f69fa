"""Text in and out of a model: chat template, token ids, and text from token ids as they come.

Knows: the tokenizer of a base model and its chat template.
Does not know: who generates, chat-model classes, tool-call syntax.

Messages are in OpenAI chat form; arguments of tool calls are objects, as templates expect them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import TemplateError
from transformers import AutoTokenizer

from burnish.errors import ServingError
from burnish.records import Json
from burnish.serving.models import resolve_model
from burnish.serving.template_form import ChatMessage, find_template_form, messages_for_template
from burnish.serving.turn_end import find_end_ids

_UNFINISHED = "\ufffd"  # what bytes of a character that is not whole decode to


class Renderer:
    """The tokenizer of one base model; may be used from any thread."""

    _known: ClassVar[dict[str, Renderer]] = {}
    _known_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path) -> None:
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ServingError(
                f"the tokenizer in {folder} cannot be loaded: {error}",
                "a tokenizer saved by transformers",
                "burnish doctor",
            ) from error
        self._lock = threading.Lock()  # fast tokenizers refuse two borrowers at once
        self._folder = folder
        self.longest_token: int = max(map(len, self._tokenizer.get_vocab()), default=1)
        """Characters that one token stands for at most."""
        self._form = find_template_form(self._rendered, self.template)

    @classmethod
    def shared(cls, base_model: str | Path) -> Renderer:
        """The renderer of a base model in this process; made at the first call."""
        known = cls._known.get(str(base_model))
        if known is None:
            with cls._known_lock:
                known = cls._known.get(str(base_model)) or cls(resolve_model(base_model))
                cls._known[str(base_model)] = known
        return known

    def _rendered(self, messages: Sequence[ChatMessage], tools: Sequence[Json], ask: bool) -> str:
        return self._tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=ask
        )

    def stop_ids(self, declared: frozenset[int]) -> frozenset[int]:
        """Every token that ends an answer: the declared ones, the tokenizer's and the template's own."""
        end = self._tokenizer.eos_token_id
        own = declared | (frozenset() if end is None else frozenset([end]))
        if not self.template:
            return own
        return find_end_ids(self._tokenizer, self._printed, own)

    def _printed(self, messages: Sequence[ChatMessage], tools: Sequence[Json]) -> str | None:
        try:
            return self._rendered(messages_for_template(messages, self._form), tools, False)
        except (TemplateError, ValueError, TypeError, KeyError):
            return None

    def prompt(
        self, messages: Sequence[dict[str, Json]], tools: Sequence[dict[str, Json]] = ()
    ) -> list[int]:
        """Token ids of a conversation, up to where the assistant begins to speak.

        Raises:
            ServingError: If the chat template refuses the conversation.
        """
        return self.encode(self.prompt_text(messages, tools))

    @property
    def template(self) -> str:
        """The chat template as text; empty where there is none."""
        template = self._tokenizer.chat_template
        return template if isinstance(template, str) else str(template or "")

    def prompt_text(
        self, messages: Sequence[dict[str, Json]], tools: Sequence[dict[str, Json]] = ()
    ) -> str:
        """Text of a conversation, up to where the assistant begins to speak.

        Raises:
            ServingError: If the chat template refuses the conversation.
        """
        try:
            return self._tokenizer.apply_chat_template(
                messages_for_template(messages, self._form),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=True,
            )
        except (TemplateError, ValueError, TypeError) as error:
            raise ServingError(
                f"the chat template of {self._folder.name} refuses the conversation: {error}",
                "messages and tools in the form that the template knows",
                "look at chat_template.jinja in the folder of the model",
            ) from error

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without marks of its own."""
        with self._lock:
            return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids: Sequence[int], *, marks: bool = True) -> str:
        """Text of token ids.

        Args:
            ids: The tokens.
            marks: Whether special marks are part of it.
        """
        with self._lock:
            return self._tokenizer.decode(
                ids, skip_special_tokens=not marks, clean_up_tokenization_spaces=False
            )


class TextStream:
    """Text of an answer while its tokens come; holds back characters that are not whole."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._ids: list[int] = []
        self._given = ""

    def feed(self, token: int) -> str:
        """The text that this token adds."""
        self._ids.append(token)
        text = self._renderer.decode(self._ids)
        if text.endswith(_UNFINISHED) or not text.startswith(self._given):
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new

    def rest(self) -> str:
        """What was held back, at the end of the answer."""
        return self._renderer.decode(self._ids)[len(self._given) :] if self._ids else ""
