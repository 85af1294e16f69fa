"""Render conversations to token ids with the chat template, and decode token ids to text.

Messages are in OpenAI chat form; arguments of tool calls are objects, as templates expect.
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
from burnish.serving.contract.base_models import resolve_model
from burnish.serving.contract.template_form import (
    ChatMessage,
    find_template_form,
    messages_for_template,
)
from burnish.serving.contract.turn_end import find_end_ids

_UNFINISHED = "\ufffd"  # result of decoding an incomplete character


class Renderer:
    """The tokenizer of one base model; thread-safe."""

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
        self._lock = threading.Lock()  # fast tokenizers do not allow concurrent use
        self._folder = folder
        self.longest_token: int = max(map(len, self._tokenizer.get_vocab()), default=1)
        """Largest number of characters of one token."""
        self._form = find_template_form(self._apply_template, self.template)

    @classmethod
    def shared(cls, base_model: str | Path) -> Renderer:
        """Return the shared renderer of a base model; the first call creates it."""
        known = cls._known.get(str(base_model))
        if known is None:
            with cls._known_lock:
                known = cls._known.get(str(base_model)) or cls(resolve_model(base_model))
                cls._known[str(base_model)] = known
        return known

    def _apply_template(
        self, messages: Sequence[ChatMessage], tools: Sequence[Json], ask: bool
    ) -> str:
        return self._tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=ask
        )

    def find_stop_ids(self, declared: frozenset[int]) -> frozenset[int]:
        """Return every token that ends an answer: declared, of the tokenizer, and of the template."""
        end = self._tokenizer.eos_token_id
        own = declared | (frozenset() if end is None else frozenset([end]))
        if not self.template:
            return own
        return find_end_ids(self._tokenizer, self._try_template, own)

    def _try_template(self, messages: Sequence[ChatMessage], tools: Sequence[Json]) -> str | None:
        try:
            return self._apply_template(messages_for_template(messages, self._form), tools, False)
        except (TemplateError, ValueError, TypeError, KeyError):
            return None

    def render_ids(
        self, messages: Sequence[dict[str, Json]], tools: Sequence[dict[str, Json]] = ()
    ) -> list[int]:
        """Return the token ids of a conversation, up to the assistant's turn.

        Raises:
            ServingError: If the chat template refuses the conversation.
        """
        return self.encode(self.render_text(messages, tools))

    @property
    def template(self) -> str:
        """The chat template as text; empty if there is none."""
        template = self._tokenizer.chat_template
        return template if isinstance(template, str) else str(template or "")

    def render_text(
        self, messages: Sequence[dict[str, Json]], tools: Sequence[dict[str, Json]] = ()
    ) -> str:
        """Return the text of a conversation, up to the assistant's turn.

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
                "messages and tools in the form that the template accepts",
                "read chat_template.jinja in the folder of the model",
            ) from error

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without added special tokens."""
        with self._lock:
            return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, ids: Sequence[int], *, marks: bool = True) -> str:
        """Decode token ids to text.

        Args:
            ids: The tokens.
            marks: Whether the text includes special marks.
        """
        with self._lock:
            return self._tokenizer.decode(
                ids, skip_special_tokens=not marks, clean_up_tokenization_spaces=False
            )


class TextStream:
    """Decodes an answer token by token; holds back incomplete characters."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._ids: list[int] = []
        self._given = ""

    def add_token(self, token: int) -> str:
        """Add a token; return the text that it adds."""
        self._ids.append(token)
        text = self._renderer.decode(self._ids)
        if text.endswith(_UNFINISHED) or not text.startswith(self._given):
            return ""
        new = text[len(self._given) :]
        self._given = text
        return new

    def flush_text(self) -> str:
        """Return the text held back at the end of the answer."""
        return self._renderer.decode(self._ids)[len(self._given) :] if self._ids else ""
