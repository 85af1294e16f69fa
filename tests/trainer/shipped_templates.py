"""The chat templates that TRL ships, each with a byte tokenizer that knows its marks."""
# ruff: noqa: RUF001 - marks of DeepSeek

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

_MARK = re.compile(
    r"<\|[^<>|\s'\"{}]+\|?>|<[^<>|\s'\"{}]+\|>|<｜[^<>\s'\"{}]+｜>|</?(?:start_of_turn|end_of_turn|eos|bos|end_of_utterance|s)>|\[/?[A-Z_]+\]"
)
# Ends that a template leaves to its tokenizer.
_ENDS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "gemma4": "<turn|>",
    "diffusion_gemma": "<turn|>",
    "gemma": "<eos>",
    "glm": "<|endoftext|>",
    "gptoss": "<|return|>",
    "idefics3": "<|end_of_text|>",
    "smolvlm": "<end_of_utterance>",
    "llama3": "<|eot_id|>",
    "llava_next": "</s>",
    "phi3": "<|endoftext|>",
    "muse_glimmer": "<|eot|>",
}


@functools.cache
def template_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _folder().glob("*.jinja")))


def template_text(name: str) -> str:
    return (_folder() / f"{name}.jinja").read_text(encoding="utf-8")


def _folder() -> Path:
    import trl

    return Path(trl.__file__).parent / "chat_templates"


@functools.cache
def shipped_tokenizer(name: str) -> Any:
    end = next((end for key, end in _ENDS.items() if name.startswith(key)), "<|im_end|>")
    return byte_tokenizer(template_text(name), end=end, begin="<|begin|>")


def byte_tokenizer(template: str, *, end: str, begin: str) -> Any:
    """A tokenizer of bytes that knows the marks of a template as single tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = sorted({*_MARK.findall(template), end, begin})
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(
        models.BPE(vocab={m: at for at, m in enumerate([*marks, *letters])}, merges=[])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=end, bos_token=begin, chat_template=template
    )
