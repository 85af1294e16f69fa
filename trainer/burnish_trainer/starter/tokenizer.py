"""Build the starter's tokenizer and chat template.

Digits are split in pairs and capitalised words stand alone, so that a number or a name has the same
tokens wherever it stands: a small model can copy only what looks the same. Elsewhere merges may
cross spaces and punctuation, which makes a fixed phrase of the desks one or two tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, OPEN, CLOSE = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = (PAD, OPEN, CLOSE, "<tool_call>", "</tool_call>")
VOCABULARY = 896


def chat_template() -> str:
    """Return the chat template; generation marks enclose the assistant's text and its end token."""
    return Path(__file__).with_name("chat_template.jinja").read_text("utf-8").strip()


def blank_tokenizer(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """Wrap a trained tokenizer in transformers' class."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=CLOSE,
        padding_side="left",
        model_max_length=2048,
        chat_template=chat_template(),
    )


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from rendered conversations.

    Args:
        texts: Conversations as the chat template renders them.
    """
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(Regex(r"\d{1,2}|[A-Z][a-z]+"), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, letters])
    tokenizer.decoder = decoders.ByteLevel()
    marks = re.compile("|".join(re.escape(mark) for mark in SPECIAL))
    tokenizer.train_from_iterator(
        (part for text in texts for part in marks.split(text)),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=list(SPECIAL),
        ),
    )
    return blank_tokenizer(tokenizer)


def render(tokenizer: Any, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> str:
    """Render a conversation as text."""
    return tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
